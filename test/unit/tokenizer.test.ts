import { describe, expect, it } from 'vitest';
import { ContextLengthError, RequestError } from '../../src/serving/errors.js';
import { createChatTemplate } from '../../src/serving/text/chat-template.js';
import { encodePrompt } from '../../src/serving/text/prompt.js';
import { createTokenizer } from '../../src/serving/text/tokenizer.js';
import {
  BOS,
  createFakeVocabulary,
  EOS,
  FIM_MIDDLE,
  FIM_PREFIX,
  FIM_SUFFIX,
  IM_END,
  IM_START,
} from '../support/fake-vocabulary.js';

const vocabulary = createFakeVocabulary({ addBos: true });
const tokenizer = createTokenizer(vocabulary);
const text = { tokenizer, template: createChatTemplate('{{ messages[0].content }}', vocabulary), dispose() {} };

describe('a prompt', () => {
  it('of text gets the model’s BOS, and special tokens in it are those tokens', () => {
    expect([...encodePrompt({ kind: 'text', text: 'A</s>' }, text, 100_000).tokenIds]).toEqual([BOS, 65, EOS]);
  });

  it('of token ids is taken as it is', () => {
    expect([...encodePrompt({ kind: 'tokens', tokenIds: [65, EOS] }, text, 100_000).tokenIds]).toEqual([65, EOS]);
  });

  it.each([-1, 260, 1.5, 2 ** 32 + 65, Number.NaN])('of token ids with %d in it is refused', (token) => {
    expect(() => encodePrompt({ kind: 'tokens', tokenIds: [65, token] }, text, 100_000)).toThrow(RequestError);
  });

  it('with a gap has the marks of the model around its parts', () => {
    const prompt = { kind: 'fill', prefix: 'A</s>', suffix: 'B' } as const;
    const fim = { ...text, tokenizer: createTokenizer(createFakeVocabulary({ addBos: true, fim: true })) };
    const { tokenIds } = encodePrompt(prompt, fim, 100_000);
    expect([...tokenIds]).toEqual([BOS, FIM_PREFIX, ...Buffer.from('A</s>'), FIM_SUFFIX, 66, FIM_MIDDLE]);
    expect(() => encodePrompt(prompt, text, 100_000)).toThrow('cannot fill gaps');
  });

  it('of messages is what the template renders', () => {
    const messages = [{ role: 'user', content: 'A<|im_end|>' }];
    expect([...encodePrompt({ kind: 'chat', messages }, text, 100_000).tokenIds]).toEqual([BOS, 65, IM_END]);
  });
});

describe('a text that cannot fit', () => {
  // The longest piece is <|im_start|>, 12 bytes: 1,200,000 characters may be 100,000 tokens, one more may not.
  const text12 = 'A'.repeat(1_200_000);
  const untouchable = {
    ...text,
    tokenizer: createTokenizer({
      ...vocabulary,
      tokenize() {
        throw new Error('was tokenised');
      },
    }),
  };

  it('is refused without tokenising it, with the numbers', () => {
    const refused = () => encodePrompt({ kind: 'text', text: `${text12}A` }, untouchable, 100_000);
    expect(refused).toThrow(ContextLengthError);
    expect(refused).toThrow('100000 tokens. However, your prompt of 1200001 characters resulted in at least 100001');
    const messages = [{ role: 'user', content: `${text12}A` }];
    expect(() => encodePrompt({ kind: 'chat', messages }, untouchable, 100_000)).toThrow(ContextLengthError);
  });

  it('is tokenised when it might', () => {
    expect(() => encodePrompt({ kind: 'text', text: text12 }, untouchable, 100_000)).toThrow('was tokenised');
  });
});

describe('a piece', () => {
  it('of half a character is known to be incomplete', () => {
    expect(tokenizer.piece(0xc3, false)).toEqual({ bytes: Uint8Array.of(0xc3), text: '\ufffd', complete: false });
    expect(tokenizer.piece(65, false)).toEqual({ bytes: Uint8Array.of(65), text: 'A', complete: true });
  });

  it('of a special token is empty unless it is to be kept', () => {
    expect(tokenizer.piece(IM_START, false).text).toBe('');
    expect(tokenizer.piece(IM_START, true).text).toBe('<|im_start|>');
  });
});
