import { describe, expect, it } from 'vitest';
import { RequestError } from '../../src/serving/errors.js';
import { createChatTemplate } from '../../src/serving/text/chat-template.js';
import { createTokenizer } from '../../src/serving/text/tokenizer.js';
import type { ToolUse } from '../../src/serving/types.js';
import { BOS, createFakeVocabulary } from '../support/fake-vocabulary.js';

const vocabulary = createFakeVocabulary();
const messages = [
  { role: 'system', content: 'Be brief.' },
  { role: 'user', content: 'Hi' },
];

function failureOf(run: () => unknown): unknown {
  try {
    return run();
  } catch (error) {
    return error;
  }
}

describe('a chat template', () => {
  it('renders messages, tools and the special tokens of the vocabulary', () => {
    const template = createChatTemplate(
      '{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}{{ eos_token }}' +
        '{% if tools %}{{ tools | tojson }}{% endif %}',
      vocabulary,
    );
    expect(template.render({ messages })).toBe('<s>[system]Be brief.[user]Hi</s>');
    const tools: ToolUse = { definitions: [{ name: 'f', description: 'F' }], choice: 'auto', parallel: true };
    expect(template.render({ messages: [] }, tools)).toBe(
      '<s></s>[{"type": "function", "function": {"name": "f", "description": "F", ' +
        '"parameters": {"type": "object", "properties": {}}}}]',
    );
    expect(template.render({ messages: [] }, { ...tools, choice: 'none' })).toBe('<s></s>');
  });

  it('asks for an answer unless told not to', () => {
    const template = createChatTemplate('{% if add_generation_prompt %}>{% else %}.{% endif %}', vocabulary);
    expect(template.render({ messages })).toBe('>');
    expect(template.render({ messages, addGenerationPrompt: false })).toBe('.');
  });

  it('hands template arguments through, but not in place of what it sets itself', () => {
    const template = createChatTemplate('{{ enable_thinking }}{{ messages | length }}{{ bos_token }}', vocabulary);
    const templateArguments = { enable_thinking: false, messages: [], bos_token: 'fake' };
    expect(template.render({ messages, templateArguments })).toBe('false2<s>');
  });

  it('goes on with the last message where that is the beginning of the answer', () => {
    const template = createChatTemplate(
      '{% for m in messages %}[{{ m.role }}]{{ m.content }}[/]\n{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}',
      vocabulary,
    );
    const messages = [
      { role: 'user', content: 'Hi' },
      { role: 'assistant', content: 'Hello ' },
    ];
    expect(template.render({ messages, continueFinalMessage: true })).toBe('[user]Hi[/]\n[assistant]Hello ');
    const silent = [{ role: 'assistant', content: ' ' }];
    expect(() => template.render({ messages: silent, continueFinalMessage: true })).toThrow(RequestError);
  });

  it('sees no tools as none, as Hugging Face templates expect', () => {
    const template = createChatTemplate('{% if tools is not none %}tools{% else %}none{% endif %}', vocabulary);
    expect(template.render({ messages })).toBe('none');
  });

  it('has strftime_now', () => {
    expect(createChatTemplate('{{ strftime_now("%Y") }}', vocabulary).render({ messages })).toMatch(/^\d{4}$/);
  });

  it('turns raise_exception into an error about the messages', () => {
    const template = createChatTemplate("{{ raise_exception('Roles must alternate') }}", vocabulary);
    const error = failureOf(() => template.render({ messages }));
    expect(error).toBeInstanceOf(RequestError);
    expect(error).toMatchObject({ param: 'messages', message: expect.stringContaining('Roles must alternate') });
  });

  it('turns a failure to render into an error about the messages', () => {
    const template = createChatTemplate('{{ messages[0].content.no_such_method() }}', vocabulary);
    expect(failureOf(() => template.render({ messages }))).toBeInstanceOf(RequestError);
  });

  it('that cannot be parsed refuses chats and points to completions', () => {
    const template = createChatTemplate('{% for m in messages %}', vocabulary);
    expect(() => template.render({ messages })).toThrow(/cannot be parsed.*\/v1\/completions/);
  });

  it('is ChatML for a vocabulary with its tokens when the model brings none', () => {
    expect(createChatTemplate(undefined, vocabulary).render({ messages })).toBe(
      '<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n',
    );
  });

  it('is missing otherwise: chats are refused and pointed to completions', () => {
    const template = createChatTemplate(undefined, createFakeVocabulary({ chatMl: false }));
    const error = failureOf(() => template.render({ messages }));
    expect(error).toBeInstanceOf(RequestError);
    expect(error).toMatchObject({ message: expect.stringContaining('/v1/completions') });
  });
});

describe('a rendered chat', () => {
  const withBos = createTokenizer(createFakeVocabulary({ addBos: true }));
  const withoutBos = createTokenizer(vocabulary);

  it('begins with exactly one BOS where the model wants one, whether the template wrote it or not', () => {
    expect([...withBos.encodeChat('<s>A')]).toEqual([BOS, 65]);
    expect([...withBos.encodeChat('A')]).toEqual([BOS, 65]);
    expect([...withBos.encodeChat('')]).toEqual([BOS]);
  });

  it('is left as the template wrote it where the model wants none', () => {
    expect([...withoutBos.encodeChat('A')]).toEqual([65]);
    expect([...withoutBos.encodeChat('<s>A')]).toEqual([BOS, 65]);
  });
});
