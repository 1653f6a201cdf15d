import { rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { type FileType, loadLlama } from '../../src/llama/index.js';
import { cachedModel } from './cached-model.js';
import type { Metadata, MetadataValue } from './gguf-format.js';
import { type GgufTensor, writeGguf } from './gguf-writer.js';
import { type Gain, randomRows } from './random-rows.js';

/** A network of llama's architecture whose weights are random numbers. Everything it does is real but the sense. */
export interface RandomModelOptions {
  layers?: number;
  heads?: number;
  kvHeads?: number;
  /** The network is heads · headSize wide. */
  headSize?: number;
  feedForwardSize?: number;
  contextLength?: number;
  /** Use the embedding as output matrix too. Such a model likes to repeat itself. */
  tied?: boolean;
  /** Weights are written so, or re-encoded to it by llama.cpp; K types need rows of a multiple of 256. */
  type?: FileType;
  seed?: number;
  /** `tokenizer.*` metadata; default {@link byteLevelTokenizer}. */
  tokenizer?: Metadata;
}

const string = (value: string): MetadataValue => ({ type: 'string', value });
const uint32 = (value: number): MetadataValue => ({ type: 'uint32', value });
const float32 = (value: number): MetadataValue => ({ type: 'float32', value });
const bool = (value: boolean): MetadataValue => ({ type: 'bool', value });

/** Values of `tokenizer.ggml.token_type`. */
const NORMAL = 1;
const CONTROL = 3;

const CONTROL_TOKENS = ['<s>', '</s>', '<|im_start|>', '<|im_end|>'];

/** Longer tokens come from these, by merging from the left: " t", " th", " the". */
const WORDS = [
  'ing tion ment able ally ence ness ous ive est ful less ship ward 10 20 er ed es ly'.split(' '),
  ' the of and to in is that it was for with as on be at by this have from or an they which you one were all'.split(
    /(?= )/,
  ),
  ' system user assistant helpful answer question hello world number people because would there their'.split(/(?= )/),
  ' gravity capital language model computer science weather morning evening country river mountain'.split(/(?= )/),
  ' white yellow purple orange simple example between another'.split(/(?= )/),
].flat();

const VOCAB_SIZE = 512;

/** ChatML; a system prompt is put in front where a conversation brings none of its own. */
const CHAT_TEMPLATE = [
  `{%- if messages[0]['role'] != 'system' -%}`,
  `{{ '<|im_start|>system\\nYou are a random model.<|im_end|>\\n' }}`,
  `{%- endif -%}`,
  `{%- for message in messages -%}`,
  `{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}`,
  `{%- endfor -%}`,
  `{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}`,
].join('');

/**
 * GPT-2's byte-level BPE with 512 tokens: four control tokens, one token a byte (so every text can be encoded, and most
 * characters beyond ASCII take several tokens), and common pieces of English. With a ChatML template.
 */
export function byteLevelTokenizer(): Map<string, MetadataValue> {
  const tokens = [...CONTROL_TOKENS, ...Array.from({ length: 256 }, (_, byte) => byteSymbol(byte))];
  const known = new Set(tokens);
  const merges: string[] = [];
  for (const word of WORDS) {
    const symbols = [...word].map((character) => byteSymbol(character.charCodeAt(0)));
    let left = symbols[0] as string;
    for (const right of symbols.slice(1)) {
      if (!known.has(left + right) && tokens.length < VOCAB_SIZE) {
        merges.push(`${left} ${right}`);
        tokens.push(left + right);
        known.add(left + right);
      }
      left += right;
    }
  }
  if (tokens.length !== VOCAB_SIZE) throw new Error(`the word list makes ${tokens.length} tokens only`);
  return new Map<string, MetadataValue>([
    ['tokenizer.ggml.model', string('gpt2')],
    ['tokenizer.ggml.pre', string('gpt-2')],
    ['tokenizer.ggml.tokens', { type: 'array', of: 'string', values: tokens }],
    [
      'tokenizer.ggml.token_type',
      { type: 'array', of: 'int32', values: tokens.map((_, id) => (id < CONTROL_TOKENS.length ? CONTROL : NORMAL)) },
    ],
    ['tokenizer.ggml.merges', { type: 'array', of: 'string', values: merges }],
    ['tokenizer.ggml.bos_token_id', uint32(0)],
    ['tokenizer.ggml.eos_token_id', uint32(1)],
    ['tokenizer.ggml.add_bos_token', bool(false)],
    ['tokenizer.chat_template', string(CHAT_TEMPLATE)],
  ]);
}

/** GPT-2 writes a byte as the character of that code where it is printable, else as one from U+0100 on. */
function byteSymbol(byte: number): string {
  const printable = (b: number) => (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
  if (printable(byte)) return String.fromCharCode(byte);
  let unprintableBefore = 0;
  for (let b = 0; b < byte; b++) if (!printable(b)) unprintableBefore++;
  return String.fromCharCode(0x100 + unprintableBefore);
}

/** Writes the model as a GGUF file. Weights are streamed: models larger than memory can be written. */
export function writeRandomModel(path: string, options: RandomModelOptions = {}): void {
  const type = options.type ?? 'F32';
  if (type === 'F32' || type === 'F16') {
    writeFloatModel(path, type, options);
    return;
  }
  const source = `${path}.f16`;
  try {
    writeFloatModel(source, 'F16', options);
    loadLlama().quantize(source, path, { type, threads: availableParallelism() });
  } finally {
    rmSync(source, { force: true });
  }
}

function writeFloatModel(path: string, type: 'F32' | 'F16', options: RandomModelOptions): void {
  const { layers = 2, heads = 4, kvHeads = 2, headSize = 64, contextLength = 4096, tied = false, seed = 1 } = options;
  const width = heads * headSize;
  const { feedForwardSize = 2 * width, tokenizer = byteLevelTokenizer() } = options;
  const tokens = tokenizer.get('tokenizer.ggml.tokens');
  if (tokens?.type !== 'array') throw new Error('the tokenizer metadata has no tokens');
  const vocabSize = tokens.values.length;
  const types = tokenizer.get('tokenizer.ggml.token_type');
  const isControl = (token: number) => types?.type === 'array' && types.values[token] === CONTROL;

  const metadata = new Map<string, MetadataValue>([
    ['general.architecture', string('llama')],
    ['general.name', string('random')],
    ['general.file_type', uint32(type === 'F16' ? 1 : 0)],
    ['llama.context_length', uint32(contextLength)],
    ['llama.embedding_length', uint32(width)],
    ['llama.block_count', uint32(layers)],
    ['llama.feed_forward_length', uint32(feedForwardSize)],
    ['llama.attention.head_count', uint32(heads)],
    ['llama.attention.head_count_kv', uint32(kvHeads)],
    ['llama.attention.layer_norm_rms_epsilon', float32(1e-5)],
    ['llama.rope.dimension_count', uint32(headSize)],
    ['llama.rope.freq_base', float32(10_000)],
    ['llama.vocab_size', uint32(vocabSize)],
    ...tokenizer,
  ]);

  const matrix = (name: string, columns: number, rows: number, gain: Gain): GgufTensor => ({
    name,
    shape: [columns, rows],
    type,
    values: () => randomRows(`${seed} ${name}`, columns, rows, gain),
  });
  const ones = (name: string): GgufTensor => ({
    name,
    shape: [width],
    type: 'F32',
    values: () => [new Float32Array(width).fill(1)],
  });
  // The gains make attention choose few positions and outweigh the token itself: answers then depend on the whole
  // prompt, and greedy ones do not fall into a loop at once.
  const layer = (i: number): GgufTensor[] => [
    ones(`blk.${i}.attn_norm.weight`),
    matrix(`blk.${i}.attn_q.weight`, width, width, 2),
    matrix(`blk.${i}.attn_k.weight`, width, kvHeads * headSize, 2),
    matrix(`blk.${i}.attn_v.weight`, width, kvHeads * headSize, 1),
    matrix(`blk.${i}.attn_output.weight`, width, width, 3),
    ones(`blk.${i}.ffn_norm.weight`),
    matrix(`blk.${i}.ffn_gate.weight`, width, feedForwardSize, 1),
    matrix(`blk.${i}.ffn_up.weight`, width, feedForwardSize, 1),
    matrix(`blk.${i}.ffn_down.weight`, feedForwardSize, width, 1),
  ];
  // Control tokens are unlikely, so that an answer ends at its limit unless a test makes it end before.
  const tokenGain = (token: number) => (isControl(token) ? 0.1 : 1);
  writeGguf(path, metadata, [
    matrix('token_embd.weight', width, vocabSize, tied ? tokenGain : 1),
    ...Array.from({ length: layers }, (_, i) => layer(i)).flat(),
    ones('output_norm.weight'),
    ...(tied ? [] : [matrix('output.weight', width, vocabSize, tokenGain)]),
  ]);
}

/** Path of such a model, written on first use and kept in the system's folder for temporary files. */
export async function randomModelPath(options: Omit<RandomModelOptions, 'tokenizer'> = {}): Promise<string> {
  const recipe = JSON.stringify(Object.entries(options).sort());
  return cachedModel(recipe, (path) => writeRandomModel(path, options));
}
