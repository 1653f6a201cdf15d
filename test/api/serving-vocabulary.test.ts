import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { createDetokenizer } from '../../src/serving/text/detokenizer.js';
import { encodePrompt, loadModelText, type ModelText } from '../../src/serving/text/index.js';
import { defaultModelPath } from '../support/default-model.js';

const MAX_MODEL_LEN = 8192;
let text: ModelText;

beforeAll(async () => {
  text = loadModelText(await defaultModelPath());
  return () => text.dispose();
});

function detokenize(tokens: Iterable<number>, keepSpecialTokens = false): string {
  const detokenizer = createDetokenizer(text.tokenizer, keepSpecialTokens);
  return [...tokens].map((token) => detokenizer.push(token)).join('') + detokenizer.flush();
}

describe('the vocabulary of the default model', () => {
  it('gives every text back, token by token', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 40 }), (written) => {
        const { tokenIds: tokens } = encodePrompt({ kind: 'text', text: written }, text, MAX_MODEL_LEN);
        expect(detokenize(tokens)).toBe(written);
      }),
    );
  });

  it('renders a chat with the template that the model brings', () => {
    const messages = [{ role: 'user', content: 'What is gravity?' }];
    const { tokenIds: tokens } = encodePrompt({ kind: 'chat', messages }, text, MAX_MODEL_LEN);
    expect(detokenize(tokens, true)).toBe(
      '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' +
        '<|im_start|>user\nWhat is gravity?<|im_end|>\n<|im_start|>assistant\n',
    );
    expect(text.tokenizer.piece(tokens[0]!, true).text).toBe('<|im_start|>');
  });

  it('ends an answer with <|im_end|>', () => {
    const { vocabulary } = text.tokenizer;
    const [end] = vocabulary.tokenize('<|im_end|>', { addSpecial: false, parseSpecial: true });
    expect(vocabulary.isEndOfGeneration(end!)).toBe(true);
  });
});
