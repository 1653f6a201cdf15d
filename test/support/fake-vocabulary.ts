import type { Vocabulary } from '../../src/serving/text/tokenizer.js';

/** Special tokens of {@link createFakeVocabulary}, after the 256 bytes. */
export const BOS = 256;
export const EOS = 257;
export const IM_START = 258;
export const IM_END = 259;
export const FIM_PREFIX = 260;
export const FIM_SUFFIX = 261;
export const FIM_MIDDLE = 262;

const SPECIAL = new Map([
  ['<s>', BOS],
  ['</s>', EOS],
  ['<|im_start|>', IM_START],
  ['<|im_end|>', IM_END],
]);

/** One token per byte of UTF-8, and four special ones; three more with `fim`. */
export function createFakeVocabulary(options: { addBos?: boolean; chatMl?: boolean; fim?: boolean } = {}): Vocabulary {
  const { addBos = false, chatMl = true, fim = false } = options;
  const special = new Map([...SPECIAL].filter(([, token]) => chatMl || token < IM_START));
  const marker = new RegExp(`(${[...special.keys()].map((text) => text.replaceAll('|', '\\|')).join('|')})`);
  const pieces = new Map([...special].map(([text, token]) => [token, Buffer.from(text)]));

  return {
    size: fim ? 263 : 260,
    bos: BOS,
    eos: EOS,
    addBos,
    fimPrefix: fim ? FIM_PREFIX : -1,
    fimSuffix: fim ? FIM_SUFFIX : -1,
    fimMiddle: fim ? FIM_MIDDLE : -1,
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
