import type { Vocabulary } from '../../src/serving/text/tokenizer.js';

/** Special tokens of {@link createFakeVocabulary}, after the 256 bytes. */
export const BOS = 256;
export const EOS = 257;
export const IM_START = 258;
export const IM_END = 259;

const SPECIAL = new Map([
  ['<s>', BOS],
  ['</s>', EOS],
  ['<|im_start|>', IM_START],
  ['<|im_end|>', IM_END],
]);

/** One token per byte of UTF-8, and four special ones. */
export function createFakeVocabulary(options: { addBos?: boolean; chatMl?: boolean } = {}): Vocabulary {
  const { addBos = false, chatMl = true } = options;
  const special = new Map([...SPECIAL].filter(([, token]) => chatMl || token < IM_START));
  const marker = new RegExp(`(${[...special.keys()].map((text) => text.replaceAll('|', '\\|')).join('|')})`);
  const pieces = new Map([...special].map(([text, token]) => [token, Buffer.from(text)]));

  return {
    size: 260,
    bos: BOS,
    eos: EOS,
    addBos,
    tokenize(text, { addSpecial, parseSpecial }) {
      const parts = parseSpecial ? text.split(marker) : [text];
      const tokens = parts.flatMap((part) => (parseSpecial && special.get(part)) || [...Buffer.from(part)]);
      return Int32Array.from(addSpecial && addBos ? [BOS, ...tokens] : tokens);
    },
    pieceBytes(token, withSpecial) {
      if (token < 256) return Uint8Array.of(token);
      return (withSpecial && pieces.get(token)) || new Uint8Array();
    },
    isEndOfGeneration: (token) => token === EOS || token === IM_END,
  };
}
