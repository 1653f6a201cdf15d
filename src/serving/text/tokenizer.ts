/** What serving needs of a model's vocabulary; `LlamaVocab` of `src/llama` is one. */
export interface Vocabulary {
  /** Number of tokens; ids are 0 … size - 1. */
  readonly size: number;
  /** Token ids, -1 where the vocabulary has none. */
  readonly bos: number;
  readonly eos: number;
  /** Marks of a text with a gap: its beginning, its end, and where the middle follows. */
  readonly fimPrefix: number;
  readonly fimSuffix: number;
  readonly fimMiddle: number;
  /** Whether the model expects prompts to begin with `bos`. */
  readonly addBos: boolean;
  tokenize(text: string, options: { addSpecial: boolean; parseSpecial: boolean }): Int32Array;
  /** Bytes the token stands for, not necessarily UTF-8 by themselves. Special tokens have none unless `special`. */
  pieceBytes(token: number, special: boolean): Uint8Array;
  isEndOfGeneration(token: number): boolean;
}

/** What a token stands for. Shared between requests: not to be modified. */
export interface TokenPiece {
  readonly bytes: Uint8Array;
  /** The bytes as text, U+FFFD where they are not UTF-8. */
  readonly text: string;
  /** The bytes are whole characters, so `text` loses nothing. */
  readonly complete: boolean;
}

export interface EncodeOptions {
  /** Default true. */
  addSpecialTokens?: boolean;
  /** Default true. */
  parseSpecialTokens?: boolean;
}

export interface Tokenizer {
  readonly vocabulary: Vocabulary;
  /** Tokens of a plain prompt: special tokens in the text are recognised, BOS is added where the model wants it. */
  encode(text: string, options?: EncodeOptions): Int32Array;
  /** Tokens of a rendered chat: as the template wrote it, with exactly one leading BOS where the model wants one. */
  encodeChat(rendered: string): Int32Array;
  /** Id of the special token that is written like this, if there is one. */
  specialToken(text: string): number | undefined;
  /** Bytes of the longest piece. The first call looks at the whole vocabulary: some 50 ms for 150,000 tokens. */
  longestPiece(): number;
  /** The piece of a token for generated text, where special tokens are empty unless `keepSpecial`. */
  piece(token: number, keepSpecial: boolean): TokenPiece;
}

// A byte order mark is text like any other here; a plain decoder would swallow it.
const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
const strictUtf8 = new TextDecoder('utf-8', { ignoreBOM: true, fatal: true });

/** Text of `bytes`, U+FFFD where they are not UTF-8. */
export function decodeUtf8(bytes: Uint8Array): string {
  return utf8.decode(bytes);
}

export function createTokenizer(vocabulary: Vocabulary): Tokenizer {
  const withSpecial = pieceCache(vocabulary, true);
  const withoutSpecial = pieceCache(vocabulary, false);
  let longestPiece = 0;

  return {
    vocabulary,

    encode: (text, { addSpecialTokens = true, parseSpecialTokens = true } = {}) =>
      vocabulary.tokenize(text, { addSpecial: addSpecialTokens, parseSpecial: parseSpecialTokens }),

    // Most templates write BOS themselves, some leave it to the tokeniser. vLLM adds nothing, so the latter run without
    // BOS there; llama-server strips a written BOS and has the tokeniser add one, which may also add EOS at the end of
    // the prompt. This gives llama-server's tokens without that EOS: a generation prompt must not end the text.
    encodeChat(rendered) {
      const tokens = vocabulary.tokenize(rendered, { addSpecial: false, parseSpecial: true });
      if (!vocabulary.addBos || vocabulary.bos < 0 || tokens[0] === vocabulary.bos) return tokens;
      const withBos = new Int32Array(tokens.length + 1);
      withBos[0] = vocabulary.bos;
      withBos.set(tokens, 1);
      return withBos;
    },

    specialToken(text) {
      const tokens = vocabulary.tokenize(text, { addSpecial: false, parseSpecial: true });
      // Special tokens alone are without text where they are not asked for.
      return tokens.length === 1 && withoutSpecial(tokens[0]!).bytes.length === 0 ? tokens[0] : undefined;
    },

    longestPiece() {
      if (longestPiece === 0) {
        for (let token = 0; token < vocabulary.size; token += 1) {
          longestPiece = Math.max(longestPiece, vocabulary.pieceBytes(token, true).length);
        }
      }
      return longestPiece;
    },

    piece: (token, keepSpecial) => (keepSpecial ? withSpecial : withoutSpecial)(token),
  };
}

/** Pieces are asked for once per generated token, but cross the FFI boundary only once per token of the vocabulary. */
function pieceCache(vocabulary: Vocabulary, special: boolean): (token: number) => TokenPiece {
  const pieces: TokenPiece[] = new Array(vocabulary.size);
  return (token) => (pieces[token] ??= describePiece(vocabulary.pieceBytes(token, special)));
}

function describePiece(bytes: Uint8Array): TokenPiece {
  try {
    return { bytes, text: strictUtf8.decode(bytes), complete: true };
  } catch {
    return { bytes, text: decodeUtf8(bytes), complete: false };
  }
}
