import { describe, expect, it } from 'vitest';
import { RequestError } from '../../src/serving/errors.js';
import { BoundedTemplate, TemplateLimitError } from '../../src/serving/text/bounded-template.js';
import { createChatTemplate } from '../../src/serving/text/chat-template.js';
import { createFakeVocabulary } from '../support/fake-vocabulary.js';

const render = (source: string, items: Record<string, unknown> = {}) => new BoundedTemplate(source).render(items);

/** Shorter than a server's, so that the tests are. */
const LIMITS = { ms: 400, size: 2 ** 29 };

/** What rendering throws, and how long it takes until then. */
function failureOf(source: string): { error: unknown; ms: number } {
  const began = performance.now();
  try {
    new BoundedTemplate(source).render({}, LIMITS);
  } catch (error) {
    return { error, ms: performance.now() - began };
  }
  throw new Error(`rendered: ${source}`);
}

describe('a hostile template', () => {
  it.each([
    ['{% for i in range(10 ** 9) %}x{% endfor %}'],
    ['{{ range(0, 10 ** 12, 3) | length }}'],
    ["{{ range(0, 'x') | length }}"],
    ['{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}'],
    ['{% for a in range(99999) %}{% for b in range(99999) %}{% set c = a * b %}{% endfor %}{% endfor %}'],
    [`{% set n = namespace(t='x') %}{% for i in range(90) %}{% set n.t = n.t ~ n.t %}{% endfor %}{{ n.t }}`],
    [`{% set n = namespace(t='x') %}{% for i in range(90) %}{% set n.t = n.t + n.t %}{% endfor %}{{ n.t | upper }}`],
    [`{% set n = namespace(t=[1]) %}{% for i in range(90) %}{% set n.t = n.t + n.t %}{% endfor %}`],
    [`{% set n = namespace(t='xx') %}{% for i in range(90) %}{% set n.t = n.t.replace('x', 'xxxx') %}{% endfor %}`],
    [`{% set n = namespace(l=[]) %}{% for i in range(99999) %}{% set n.l = n.l + [range(99999)] %}{% endfor %}`],
    [`{{ 'a\\nb' | indent(10 ** 8) }}`],
    [`{{ {'a': [1, 2]} | tojson(indent=10 ** 8) }}`],
    ['{% macro f(n) %}{{ f(n) }}{{ f(n) }}{% endmacro %}{{ f(1) }}'],
    ['{% macro f(n) %}{% if n > 0 %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}'],
    [`{% for a in range(2000) %}{{ 'x' * 10 }}{% for b in range(99999) %}xxxxxxxxxx{% endfor %}{% endfor %}`],
  ])('%s is stopped', (source) => {
    const { error, ms } = failureOf(source);
    expect(error).toBeInstanceOf(Error);
    expect(ms).toBeLessThan(6_000);
  });

  it.each([
    [`{{ ''.constructor }}`],
    [`{{ ''.constructor.constructor('return process')() }}`],
    [`{{ messages.constructor.constructor('return process')().exit() }}`],
    [`{{ messages[0].__proto__.polluted }}`],
    [`{{ messages[0]['__proto__']['constructor']('return 1')() }}`],
    [`{{ range.constructor('return process')() }}`],
    [`{{ raise_exception.__proto__ }}`],
    [`{{ strftime_now.call.constructor('return process')() }}`],
    [`{{ ''.__class__.__mro__[1].__subclasses__() }}`],
    [`{{ cycler.__init__.__globals__.os }}`],
    [`{{ process }}{{ globalThis }}{{ require }}{{ self }}`],
    [`{% set messages.__proto__.polluted = 1 %}`],
    [`{% set n = namespace() %}{% set n.__proto__ = messages[0] %}{{ n.constructor }}`],
    [`{% include '/etc/passwd' %}`],
    [`{% import 'os' as os %}`],
    [`{% extends '/etc/passwd' %}`],
  ])('%s reaches nothing', (source) => {
    let text = '';
    try {
      text = render(source, { messages: [{ role: 'user', content: 'Hi' }] });
    } catch {
      // Refused: as good as nothing.
    }
    expect(text).not.toMatch(/native code|object process|root:|function/);
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });

  it.each([
    ['parentheses', `{{ ${'('.repeat(200_000)}1${')'.repeat(200_000)} }}`],
    ['lists', `{{ ${'['.repeat(200_000)}${']'.repeat(200_000)} }}`],
    ['loops', '{% for a in b %}'.repeat(50_000)],
    ['ends', '{% endfor %}'.repeat(50_000)],
    ['blanks', `${' '.repeat(500_000)}x`],
    ['groups of blanks', `x${' '.repeat(500)}`.repeat(2_000)],
    ['lines of blanks', `${' '.repeat(1_000)}\n`.repeat(1_000)],
    ['open tags', '{{'.repeat(200_000)],
    ['comments', '{#'.repeat(200_000)],
    ['quotes', `{{ "${'\\"'.repeat(200_000)} }}`],
    ['operators', `{{ 1${' + 1'.repeat(100_000)} }}`],
    ['filters', `{{ 'x'${' | trim'.repeat(100_000)} }}`],
  ])('of many %s is refused or rendered soon', (_, source) => {
    const began = performance.now();
    const template = createChatTemplate(source, createFakeVocabulary());
    try {
      template.render({ messages: [] });
    } catch (error) {
      expect(error).toBeInstanceOf(RequestError);
    }
    expect(performance.now() - began).toBeLessThan(6_000);
  });
});

describe('limits of templates', () => {
  it('are an error of the request that says what to do', () => {
    const template = createChatTemplate('{% for i in range(10 ** 9) %}x{% endfor %}', createFakeVocabulary());
    expect(() => template.render({ messages: [] })).toThrow(
      expect.objectContaining({
        name: 'RequestError',
        message: expect.stringMatching(/was stopped: range\(\) has more than 100000 numbers\. Send fewer/),
        param: 'messages',
        code: 'chat_template_error',
      }),
    );
  });

  it('are of time and of size', () => {
    const loop = new BoundedTemplate('{% for a in range(200) %}{% for b in range(200) %}x{% endfor %}{% endfor %}');
    expect(loop.render({}, { ms: 60_000, size: 2 ** 29 })).toHaveLength(40_000);
    expect(() => loop.render({}, { ms: 1, size: 2 ** 29 })).toThrow(TemplateLimitError);
    expect(() => loop.render({}, { ms: 60_000, size: 10_000 })).toThrow('more text than can be handled');
  });

  it('leave long chats alone', () => {
    const chatMl = "{% for m in messages %}{{ '<|im_start|>' + m['role'] + m['content'] }}{% endfor %}";
    const messages = Array.from({ length: 20_000 }, (_, i) => ({ role: 'user', content: `${i} `.repeat(100) }));
    expect(render(chatMl, { messages })).toContain('19999 19999');
  });

  it('know the functions of chat templates', () => {
    expect(render('{{ range(3) | join(",") }} {{ range(7, 1, -2) | join(",") }}')).toBe('0,1,2 7,5,3');
    const now = new Date();
    expect(render("{{ strftime_now('%Y-%m-%d %% %q') }}")).toBe(
      `${now.getFullYear()}-${String(now.getMonth() + 1).padStart(2, '0')}-${String(now.getDate()).padStart(2, '0')} % %q`,
    );
    expect(render("{{ strftime_now('%d %b %Y') }}")).toMatch(/^\d\d [A-Z][a-z]{2} \d{4}$/);
    expect(() => render("{{ raise_exception('no') }}")).toThrow('no');
    expect(render('{{ True }}{{ none }}{{ false }}')).toBe(render('{{ true }}{{ None }}{{ False }}'));
  });
});
