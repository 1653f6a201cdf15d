import type { Bindings, Pointer } from './bindings.js';
import { LlamaError } from './llama-error.js';

/** `enum llama_vocab_type`: the tokenisation algorithm. */
const TYPES = ['none', 'spm', 'bpe', 'wpm', 'ugm', 'rwkv', 'plamo2', 'test'] as const;
export type VocabType = (typeof TYPES)[number];

export interface TokenizeOptions {
  /** Add the tokens that the model wants at the beginning and end of a text (BOS, EOS). */
  addSpecial: boolean;
  /** Read the text of control tokens (`<|im_start|>`) as those tokens instead of as plain text. */
  parseSpecial: boolean;
}

/** A model's vocabulary. Token ids run from 0 to size - 1; ids of special tokens are -1 where the model has none. */
export interface LlamaVocab {
  readonly size: number;
  readonly type: VocabType;
  readonly bos: number;
  readonly eos: number;
  /** End of turn. */
  readonly eot: number;
  readonly sep: number;
  /** Newline. */
  readonly nl: number;
  readonly pad: number;
  /** What a text with a gap is marked with: its beginning, its end, and where the middle follows. */
  readonly fimPrefix: number;
  readonly fimSuffix: number;
  readonly fimMiddle: number;
  readonly addBos: boolean;
  readonly addEos: boolean;
  /**
   * Token ids of a text. Lone surrogates, which have no UTF-8, become U+FFFD.
   * @throws LlamaError if the model has no tokeniser or the text more than 2^31 bytes.
   */
  tokenize(text: string, options: TokenizeOptions): Int32Array;
  /**
   * Bytes that a token stands for, often not UTF-8 by themselves. Control tokens have none unless `special`.
   * @throws RangeError for an id outside the vocabulary.
   */
  pieceBytes(token: number, special: boolean): Uint8Array;
  /** Whether the model ends its answer with this token. @throws RangeError for an id outside the vocabulary. */
  isEndOfGeneration(token: number): boolean;
  /** @throws RangeError for an id outside the vocabulary. */
  isControl(token: number): boolean;
}

/** `pointer` gives the vocabulary's address as long as its model lives, and throws afterwards. */
export function openVocab(bindings: Bindings, pointer: () => Pointer): LlamaVocab {
  const size = bindings.llama_vocab_n_tokens(pointer());
  const type = TYPES[bindings.llama_vocab_type(pointer())] ?? 'none';
  const encoder = new TextEncoder();
  let piece = new Uint8Array(256);

  // llama.cpp ends the process over an id outside its tables, and over any question to a vocabulary that is not there.
  const checked = (token: number): number => {
    if (!Number.isInteger(token) || token < 0 || token >= size) {
      throw new RangeError(`token ${token} is not in the vocabulary of ${size}`);
    }
    if (type === 'none') throw new LlamaError('the model has no tokeniser');
    return token;
  };

  return {
    size,
    type,
    bos: bindings.llama_vocab_bos(pointer()),
    eos: bindings.llama_vocab_eos(pointer()),
    eot: bindings.llama_vocab_eot(pointer()),
    sep: bindings.llama_vocab_sep(pointer()),
    nl: bindings.llama_vocab_nl(pointer()),
    pad: bindings.llama_vocab_pad(pointer()),
    fimPrefix: bindings.llama_vocab_fim_pre(pointer()),
    fimSuffix: bindings.llama_vocab_fim_suf(pointer()),
    fimMiddle: bindings.llama_vocab_fim_mid(pointer()),
    addBos: bindings.llama_vocab_get_add_bos(pointer()),
    addEos: bindings.llama_vocab_get_add_eos(pointer()),

    tokenize(text, { addSpecial, parseSpecial }) {
      if (type === 'none') throw new LlamaError('the model has no tokeniser', 'Send token ids instead of text.');
      const bytes = encoder.encode(text);
      const run = (tokens: Int32Array) =>
        bindings.llama_tokenize(pointer(), bytes, bytes.length, tokens, tokens.length, addSpecial, parseSpecial);
      // A byte is at most one token; two more for BOS and EOS, and some for a space that the model puts in front.
      let tokens = new Int32Array(bytes.length + 8);
      let count = run(tokens);
      if (count < 0 && count !== -(2 ** 31)) {
        tokens = new Int32Array(-count);
        count = run(tokens);
      }
      if (count < 0) throw new LlamaError(`a text of ${bytes.length} bytes is too long to tokenise`);
      return tokens.slice(0, count);
    },

    pieceBytes(token, special) {
      const write = () => bindings.llama_token_to_piece(pointer(), checked(token), piece, piece.length, 0, special);
      let length = write();
      if (length < 0) {
        piece = new Uint8Array(-length);
        length = write();
      }
      return piece.slice(0, length);
    },

    isEndOfGeneration: (token) => bindings.llama_vocab_is_eog(pointer(), checked(token)),
    isControl: (token) => bindings.llama_vocab_is_control(pointer(), checked(token)),
  };
}
