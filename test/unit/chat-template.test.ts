import { describe, expect, it } from 'vitest';
import { RequestError } from '../../src/serving/errors.js';
import { createChatTemplate } from '../../src/serving/text/chat-template.js';
import { createTokenizer } from '../../src/serving/text/tokenizer.js';
import type { ChatMessage, ToolUse } from '../../src/serving/types.js';
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

  describe('that knows no tools', () => {
    const source =
      '{% for m in messages %}[{{ m.role }}]{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}';
    const definitions = [{ name: 'add', description: 'Adds', parameters: { type: 'object', properties: {} } }];
    const tools: ToolUse = { definitions, choice: 'auto', parallel: true };
    const conversation: ChatMessage[] = [
      { role: 'user', content: 'Hi' },
      {
        role: 'assistant',
        content: 'Wait.',
        tool_calls: [{ id: 'a', type: 'function', function: { name: 'add', arguments: { x: 1 } } }],
      },
      { role: 'tool', content: '2', tool_call_id: 'a' },
      { role: 'tool', content: '3', tool_call_id: 'b' },
      { role: 'user', content: 'Go on' },
    ];

    it('gets them in the message of the system, and how to call them', () => {
      const template = createChatTemplate(source, vocabulary);
      const rendered = template.render({ messages }, tools);
      expect(rendered).toMatch(/^\[system\]Be brief\.\n\nYou can call functions/);
      expect(rendered).toContain('{"name":"add","description":"Adds","parameters":{"type":"object","properties":{}}}');
      expect(rendered).toContain('<tool_call>\n{"name":');
      expect(rendered).toMatch(/\n\[user\]Hi\n\[assistant\]$/);
      expect(template.render({ messages: messages.slice(1) }, tools)).toMatch(/^\[system\]You can call functions/);
      expect(template.render({ messages }, { ...tools, choice: 'none' })).toBe(
        '[system]Be brief.\n[user]Hi\n[assistant]',
      );
    });

    it('gets calls and results as text', () => {
      const template = createChatTemplate(source, vocabulary);
      expect(template.render({ messages: conversation })).toBe(
        '[user]Hi\n[assistant]Wait.\n<tool_call>\n{"name":"add","arguments":{"x":1}}\n</tool_call>\n' +
          '[user]<tool_response>\n2\n</tool_response>\n<tool_response>\n3\n</tool_response>\n[user]Go on\n[assistant]',
      );
    });
  });

  it('that refuses the message of a system gets it with the first one of the user', () => {
    const template = createChatTemplate(
      "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" +
        '{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}',
      vocabulary,
    );
    expect(template.render({ messages })).toBe('[user]Be brief.\n\nHi');
  });

  it('that uses what tools do not have gets it empty', () => {
    const template = createChatTemplate(
      '{% for tool in tools %}{% for name, p in tool.function.parameters.properties.items() %}' +
        '{{ name }}: {{ p.type | upper }} {{ p.description | trim }};{% endfor %}{% endfor %}',
      vocabulary,
    );
    const parameters = { type: 'object', properties: { unit: { enum: [1] }, x: { description: ' X ' } } };
    const tools: ToolUse = { definitions: [{ name: 'f', parameters }], choice: 'auto', parallel: true };
    expect(template.render({ messages: [] }, tools)).toBe('unit: NUMBER ;x: STRING X;');
    expect(template.render({ messages: [] })).toBe('');
  });
});
