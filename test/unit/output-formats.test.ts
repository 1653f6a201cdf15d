import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FORM_SLOT } from '../../src/grammar/index.js';
import { jsonSchemaGrammar } from '../../src/grammar/json-schema.js';
import { structuralTagGrammar } from '../../src/grammar/structural-tag.js';
import { loadXGrammar } from '../../src/grammar/xgrammar.js';
import { detectOutputFormat } from '../../src/serving/text/formats/index.js';
import type { OutputParserOptions } from '../../src/serving/text/output-format.js';
import type { ToolUse } from '../../src/serving/types.js';
import { accepts, xgrammar } from '../support/grammar-walk.js';
import { RECORDED, TOOLS } from '../support/recorded-answers/index.js';

interface Answer {
  text: string;
  reasoning: string;
  calls: { name: string; args: string; id: string }[];
}

/** All that a parser makes of an answer that comes in `pieces`. */
function parse(template: string, pieces: readonly string[], options: Partial<OutputParserOptions> = {}): Answer {
  let ids = 0;
  const parser = detectOutputFormat(template).createParser({
    tools: TOOLS,
    separateReasoning: true,
    promptEnd: '',
    createCallId: () => `id${ids++}`,
    ...options,
  });
  const answer: Answer = { text: '', reasoning: '', calls: [] };
  const parsed = pieces.map((piece) => parser.push(piece));
  for (const { text, reasoning, toolCalls } of [...parsed, parser.finish()]) {
    answer.text += text;
    answer.reasoning += reasoning;
    for (const { index, id, name, arguments: args } of toolCalls) {
      if (index === answer.calls.length) answer.calls.push({ name: name ?? '', id: id ?? '', args: '' });
      expect(index, 'calls come in order').toBe(answer.calls.length - 1);
      answer.calls[index]!.args += args;
    }
  }
  return answer;
}

/** `text` cut at all of `cuts`. */
function cut(text: string, cuts: readonly number[]): string[] {
  const ends = [...cuts.map((at) => Math.min(at, text.length)).sort((a, b) => a - b), text.length];
  return ends.map((end, index) => text.slice(ends[index - 1] ?? 0, end));
}

for (const { name, template, answers } of RECORDED) {
  describe(`answers in the format ${name} (${template})`, () => {
    it('is told by the template', () => {
      expect(detectOutputFormat(template).name).toBe(name);
    });

    for (const { what, answer, prompt: promptEnd = '', text = '', reasoning = '', calls = [] } of answers) {
      it(`come apart however they arrive: ${what}`, () => {
        const whole = {
          text,
          reasoning,
          calls: calls.map(([name, args], index) => ({ name, args, id: `id${index}` })),
        };
        expect(parse(template, [answer], { promptEnd })).toEqual(whole);
        expect(parse(template, answer.split(''), { promptEnd })).toEqual(whole);
        for (let at = 1; at < answer.length; at += 1) {
          expect(parse(template, cut(answer, [at]), { promptEnd }), `cut at ${at}`).toEqual(whole);
        }
        const cuts = fc.array(fc.nat(answer.length), { maxLength: 12 });
        fc.assert(
          fc.property(cuts, (at) => {
            expect(parse(template, cut(answer, at), { promptEnd })).toEqual(whole);
          }),
          { numRuns: 20 },
        );
      });

      // Harmony's markup is around all text, and never text itself.
      if (name === 'openai') continue;
      it(`are text where nothing is to be told apart: ${what}`, () => {
        const options = { promptEnd, tools: [], separateReasoning: false };
        expect(parse(template, answer.split(''), options)).toEqual({ text: answer, reasoning: '', calls: [] });
      });
    }

    it('lose nothing and depend on no cut, whatever a model makes of the markup', () => {
      const markup = answers.flatMap(({ answer }) => answer.split(/(?<=[\s{}[\]<>"|,:])|(?=[\s{}[\]<>"|,:])/));
      const soup = fc.array(fc.constantFrom(...new Set(markup)), { maxLength: 30 }).map((parts) => parts.join(''));
      fc.assert(
        fc.property(soup, fc.array(fc.nat(200), { maxLength: 6 }), (answer, at) => {
          const whole = parse(template, [answer], { separateReasoning: false });
          expect(parse(template, cut(answer, at), { separateReasoning: false })).toEqual(whole);
          expect(parse(template, answer.split(''))).toEqual(parse(template, [answer]));
          if (whole.calls.length === 0 && name !== 'openai') expect(whole.text).toBe(answer);
        }),
        { numRuns: 300 },
      );
    });
  });
}

describe('grammars of answers that call tools', () => {
  const { Grammar, Testings } = loadXGrammar().api;

  async function accepted(template: string, tools: ToolUse, prompt: string, answers: readonly string[]) {
    const format = detectOutputFormat(template).toolCallTag(tools, prompt);
    const grammar = await Grammar.fromStructuralTag({ type: 'structural_tag', format });
    const results: boolean[] = [];
    for (const answer of answers) results.push(await Testings.isGrammarAcceptString(grammar, answer));
    grammar.dispose();
    return results;
  }

  for (const { name, template, answers } of RECORDED) {
    const proper = answers.filter(({ broken = false }) => !broken);

    it(`are those of ${name} (${template})`, async () => {
      for (const { what, answer, prompt = '', calls = [], text = '' } of proper) {
        const use = async (choice: ToolUse['choice'], parallel = true) =>
          (await accepted(template, { definitions: TOOLS, choice, parallel }, prompt, [answer]))[0];
        const saysNothing = text === '' || name === 'openai';
        expect(await use('auto'), `auto: ${what}`).toBe(true);
        expect(await use('auto', false), `auto, not parallel: ${what}`).toBe(calls.length < 2);
        expect(await use('required'), `required: ${what}`).toBe(calls.length > 0 && saysNothing);
        expect(await use({ name: 'get_weather' }), `named: ${what}`).toBe(
          calls.length === 1 && calls[0]![0] === 'get_weather' && saysNothing,
        );
      }
    });

    it(`let nothing through that no tool takes, of ${name} (${template})`, async () => {
      for (const { answer, prompt = '', calls = [] } of proper.filter(({ calls = [] }) => calls.length > 0)) {
        const wrong = [
          answer.replace(calls[0]![0], 'fly_home'),
          answer.slice(0, -1),
          ...(calls[0]![0] === 'get_weather' ? [answer.replace('city', 'town')] : []),
        ];
        for (const choice of ['auto', 'required'] as const) {
          const tools: ToolUse = { definitions: TOOLS, choice, parallel: true };
          expect(await accepted(template, tools, prompt, wrong)).toEqual(wrong.map(() => false));
        }
      }
    });
  }
});

describe('ids of calls', () => {
  it('are random, and as OpenAI writes them', () => {
    const answer = '<tool_call>{"name": "f"}</tool_call>'.repeat(2);
    const [first, second] = parse(RECORDED[0]!.template, [answer], { createCallId: undefined }).calls;
    expect(first!.id).toMatch(/^call_[0-9A-Za-z]{24}$/);
    expect(second!.id).not.toBe(first!.id);
  });
});

describe('grammars of answers that have a form', () => {
  const THINKS = '{% if x %}<think>{{ x }}</think>{% endif %}';
  const RESPONDS = `${THINKS}<response>`;
  const HARMONY = '<|channel|><|message|>functions.';
  const form = jsonSchemaGrammar(
    { properties: { a: { type: 'string', maxLength: 2 } }, required: ['a'] },
    { strict: true },
  );
  const [right, wrong] = ['{"a":"éé"}', '{"a":"ééé"}'];
  const final = '<|channel|>final<|message|>';
  const analysis = '<|channel|>analysis<|message|>{"a":<|end|><|start|>assistant';

  it.each([
    [
      THINKS,
      '',
      [right, `<think>{"a":</think>\n\n${right}`],
      [`hm ${right}`, `<think>${right}`, `<think></think>${wrong}`],
    ],
    [THINKS, 'so: <think>\n', [`because</think>\n\n${right}`], [right, `because</think>${wrong}`]],
    [THINKS, '<think>\n\n</think>\n\n', [right], [`<think></think>${right}`, wrong]],
    [RESPONDS, '', [right, `<think>hm</think><response>${right}</response>`], [`<response>${wrong}</response>`]],
    [
      HARMONY,
      '<|start|>assistant',
      [final + right, analysis + final + right],
      [right, analysis + right, final + wrong],
    ],
  ])('of %j behind %j', async (template, prompt, valid, others) => {
    const format = detectOutputFormat(template).formTag(FORM_SLOT, prompt);
    const grammar = format === FORM_SLOT ? form : await structuralTagGrammar(format, xgrammar, form);
    for (const answer of valid) expect(await accepts(grammar, answer), answer).toBe(true);
    for (const answer of others) expect(await accepts(grammar, answer), answer).toBe(false);
  });

  it('are those of the form where the model is not known to think', () => {
    expect(detectOutputFormat('{{ messages }}').formTag(FORM_SLOT, 'hello')).toBe(FORM_SLOT);
  });
});
