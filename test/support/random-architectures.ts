/** Random models of other architectures than llama's, as small as shows what is special about each. */
import { cachedModel } from './cached-model.js';
import type { MetadataValue } from './gguf-format.js';
import { type GgufTensor, writeGguf } from './gguf-writer.js';
import { byteLevelTokenizer } from './random-model.js';
import { randomRows } from './random-rows.js';

/** Sizes of a network, as GGUF metadata and llama.cpp's sources (src/models) call them in longer words. */
interface Sizes {
  layers: number;
  width: number;
  heads: number;
  kvHeads: number;
  headSize: number;
  feedForward: number;
}

interface Architecture extends Partial<Sizes> {
  /** `general.architecture`. */
  name: string;
  /** Beyond what all have; keys without the architecture in front. */
  metadata?: Record<string, MetadataValue>;
  layer(sizes: Sizes, index: number): GgufTensor[];
  /** Beyond the embedding. */
  others?(sizes: Sizes): GgufTensor[];
}

const DEFAULT_SIZES: Sizes = { layers: 2, width: 128, heads: 4, kvHeads: 2, headSize: 32, feedForward: 256 };

const uint32 = (value: number): MetadataValue => ({ type: 'uint32', value });
const float32 = (value: number): MetadataValue => ({ type: 'float32', value });
const string = (value: string): MetadataValue => ({ type: 'string', value });

/** [columns, rows, matrices]. Gains above 1 make attention choose few positions, and outweigh the token itself. */
function weight(name: string, shape: number[], gain = 1): GgufTensor {
  const [columns, ...others] = shape;
  const rows = others.reduce((a, b) => a * b, 1);
  return { name, shape, type: 'F32', values: () => randomRows(name, columns as number, rows, gain) };
}

/** Numbers of variance 1/4. */
function bias(name: string, shape: number[]): GgufTensor {
  return weight(name, shape, Math.sqrt(shape[0] as number) / 2);
}

function vector(name: string, size: number, value: (index: number) => number): GgufTensor {
  return { name, shape: [size], type: 'F32', values: () => [Float32Array.from({ length: size }, (_, i) => value(i))] };
}

function norm(name: string, size: number, value = 1): GgufTensor {
  return vector(`${name}.weight`, size, () => value);
}

/** The parts that layers are put together from. `blk` is the prefix of the layer's tensors. */

function attention(blk: string, { width, heads, kvHeads, headSize }: Sizes): GgufTensor[] {
  return [
    norm(`${blk}.attn_norm`, width),
    weight(`${blk}.attn_q.weight`, [width, heads * headSize], 2),
    weight(`${blk}.attn_k.weight`, [width, kvHeads * headSize], 2),
    weight(`${blk}.attn_v.weight`, [width, kvHeads * headSize]),
    weight(`${blk}.attn_output.weight`, [heads * headSize, width], 3),
  ];
}

function attentionBiases(blk: string, { width, heads, kvHeads, headSize }: Sizes): GgufTensor[] {
  return [
    bias(`${blk}.attn_q.bias`, [heads * headSize]),
    bias(`${blk}.attn_k.bias`, [kvHeads * headSize]),
    bias(`${blk}.attn_v.bias`, [kvHeads * headSize]),
    bias(`${blk}.attn_output.bias`, [width]),
  ];
}

function fusedAttention(blk: string, { width, heads, kvHeads, headSize }: Sizes): GgufTensor[] {
  return [
    norm(`${blk}.attn_norm`, width),
    weight(`${blk}.attn_qkv.weight`, [width, (heads + 2 * kvHeads) * headSize], 2),
    weight(`${blk}.attn_output.weight`, [heads * headSize, width], 2),
  ];
}

/** Of each head's queries and keys; above 1, so that scores differ as much as without. */
function headNorms(blk: string, { headSize }: Sizes): GgufTensor[] {
  return [norm(`${blk}.attn_q_norm`, headSize, 2), norm(`${blk}.attn_k_norm`, headSize, 2)];
}

function gatedFeedForward(blk: string, { width, feedForward }: Sizes): GgufTensor[] {
  return [
    norm(`${blk}.ffn_norm`, width),
    weight(`${blk}.ffn_gate.weight`, [width, feedForward]),
    weight(`${blk}.ffn_up.weight`, [width, feedForward]),
    weight(`${blk}.ffn_down.weight`, [feedForward, width]),
  ];
}

/** @param parts 2 where the gate is the first half of it */
function plainFeedForward(blk: string, { width, feedForward }: Sizes, parts = 1): GgufTensor[] {
  return [
    norm(`${blk}.ffn_norm`, width),
    weight(`${blk}.ffn_up.weight`, [width, parts * feedForward]),
    weight(`${blk}.ffn_down.weight`, [feedForward, width]),
  ];
}

const EXPERTS = 4;
const EXPERT_SIZE = 64;
const expertMetadata = {
  expert_count: uint32(EXPERTS),
  expert_used_count: uint32(2),
  expert_feed_forward_length: uint32(EXPERT_SIZE),
};

function experts(blk: string, { width }: Sizes): GgufTensor[] {
  return [
    weight(`${blk}.ffn_gate_inp.weight`, [width, EXPERTS]),
    weight(`${blk}.ffn_gate_exps.weight`, [width, EXPERT_SIZE, EXPERTS]),
    weight(`${blk}.ffn_up_exps.weight`, [width, EXPERT_SIZE, EXPERTS]),
    weight(`${blk}.ffn_down_exps.weight`, [EXPERT_SIZE, width, EXPERTS]),
  ];
}

function expertBiases(blk: string, { width }: Sizes): GgufTensor[] {
  return [
    bias(`${blk}.ffn_gate_inp.bias`, [EXPERTS]),
    bias(`${blk}.ffn_gate_exps.bias`, [EXPERT_SIZE, EXPERTS]),
    bias(`${blk}.ffn_up_exps.bias`, [EXPERT_SIZE, EXPERTS]),
    bias(`${blk}.ffn_down_exps.bias`, [width, EXPERTS]),
  ];
}

function sharedExpert(blk: string, { width }: Sizes): GgufTensor[] {
  return [
    weight(`${blk}.ffn_gate_shexp.weight`, [width, EXPERT_SIZE]),
    weight(`${blk}.ffn_up_shexp.weight`, [width, EXPERT_SIZE]),
    weight(`${blk}.ffn_down_shexp.weight`, [EXPERT_SIZE, width]),
  ];
}

/** Norms behind attention and feed-forward network; above 1, so that attention outweighs the token itself. */
function postNorms(blk: string, { width }: Sizes): GgufTensor[] {
  return [norm(`${blk}.post_attention_norm`, width, 3), norm(`${blk}.post_ffw_norm`, width)];
}

const vocabSize = ((tokens) => (tokens?.type === 'array' ? tokens.values.length : 0))(
  byteLevelTokenizer().get('tokenizer.ggml.tokens'),
);

const output = ({ width }: Sizes): GgufTensor[] => [
  norm('output_norm', width),
  weight('output.weight', [width, vocabSize]),
];
/** The embedding is the output matrix too. */
const tiedOutput = ({ width }: Sizes): GgufTensor[] => [norm('output_norm', width)];

/** A window that is no multiple of a page or block. */
const WINDOW = 37;

function longRopeFactors({ headSize }: Sizes): GgufTensor[] {
  return ['short', 'long'].map((name) => vector(`rope_factors_${name}.weight`, headSize / 2, (i) => 1 + i));
}

export const ARCHITECTURES = {
  /** Rotations slowed down by factors from the file. */
  'llama 3': {
    name: 'llama',
    layer: (sizes, i) => [...attention(`blk.${i}`, sizes), ...gatedFeedForward(`blk.${i}`, sizes)],
    others: (sizes) => [vector('rope_freqs.weight', sizes.headSize / 2, (i) => 1 + i / 2), ...output(sizes)],
  },
  /** Files of Mistral 7B name a window that llama.cpp does not apply. */
  mistral: {
    name: 'llama',
    metadata: { 'attention.sliding_window': uint32(WINDOW) },
    layer: (sizes, i) => [...attention(`blk.${i}`, sizes), ...gatedFeedForward(`blk.${i}`, sizes)],
    others: output,
  },
  /** YaRN, and queries that grow with their position. */
  'mistral 3': {
    name: 'mistral3',
    metadata: {
      'rope.scaling.type': string('yarn'),
      'rope.scaling.factor': float32(4),
      'rope.scaling.original_context_length': uint32(64),
      'attention.temperature_scale': float32(0.1),
    },
    layer: (sizes, i) => [...attention(`blk.${i}`, sizes), ...gatedFeedForward(`blk.${i}`, sizes)],
    others: output,
  },
  'qwen 2': {
    name: 'qwen2',
    layer: (sizes, i) => [
      ...attention(`blk.${i}`, sizes),
      ...attentionBiases(`blk.${i}`, sizes).slice(0, 3),
      ...gatedFeedForward(`blk.${i}`, sizes),
    ],
    others: output,
  },
  /** Heads that are together wider than the network. */
  'qwen 3': {
    name: 'qwen3',
    headSize: 64,
    layer: (sizes, i) => [
      ...attention(`blk.${i}`, sizes),
      ...headNorms(`blk.${i}`, sizes),
      ...gatedFeedForward(`blk.${i}`, sizes),
    ],
    others: output,
  },
  /** Fused matrices, and a window in the file that llama.cpp does not apply. */
  'phi 3': {
    name: 'phi3',
    metadata: { 'attention.sliding_window': uint32(WINDOW) },
    layer: (sizes, i) => [...fusedAttention(`blk.${i}`, sizes), ...plainFeedForward(`blk.${i}`, sizes, 2)],
    others: output,
  },
  /** The largest heads, one KV head for all. */
  gemma: {
    name: 'gemma',
    heads: 2,
    kvHeads: 1,
    headSize: 256,
    layer: (sizes, i) => [...attention(`blk.${i}`, sizes), ...gatedFeedForward(`blk.${i}`, sizes)],
    others: tiedOutput,
  },
  /** Soft-capped scores; every other layer has a window. */
  'gemma 2': {
    name: 'gemma2',
    layers: 4,
    metadata: {
      'attention.sliding_window': uint32(WINDOW),
      attn_logit_softcapping: float32(3),
      final_logit_softcapping: float32(5),
    },
    layer: (sizes, i) => [
      ...attention(`blk.${i}`, sizes),
      ...gatedFeedForward(`blk.${i}`, sizes),
      ...postNorms(`blk.${i}`, sizes),
    ],
    others: tiedOutput,
  },
  /** Five layers with a window to one without, which rotate at different speeds. */
  'gemma 3': {
    name: 'gemma3',
    layers: 6,
    metadata: { 'attention.sliding_window': uint32(WINDOW), 'rope.freq_base': float32(1e6) },
    layer: (sizes, i) => [
      ...attention(`blk.${i}`, sizes),
      ...headNorms(`blk.${i}`, sizes),
      ...gatedFeedForward(`blk.${i}`, sizes),
      ...postNorms(`blk.${i}`, sizes),
    ],
    others: tiedOutput,
  },
  /** Attention sinks, a window in every other layer, experts, biases everywhere. */
  'gpt-oss': {
    name: 'gpt-oss',
    layers: 4,
    heads: 8,
    metadata: { 'attention.sliding_window': uint32(WINDOW), ...expertMetadata },
    layer: (sizes, i) => [
      ...attention(`blk.${i}`, sizes),
      ...attentionBiases(`blk.${i}`, sizes),
      vector(`blk.${i}.attn_sinks.weight`, sizes.heads, (head) => head - 2),
      norm(`blk.${i}.post_attention_norm`, sizes.width),
      ...experts(`blk.${i}`, sizes),
      ...expertBiases(`blk.${i}`, sizes),
    ],
    others: output,
  },
  /** ALiBi, with a number of heads that is not a power of two; LayerNorm. */
  mpt: {
    name: 'mpt',
    width: 192,
    heads: 6,
    kvHeads: 6,
    metadata: { 'attention.max_alibi_bias': float32(8) },
    layer: (sizes, i) => [...fusedAttention(`blk.${i}`, sizes), ...plainFeedForward(`blk.${i}`, sizes)],
    others: output,
  },
  /** LayerNorm and biases everywhere, an ordinary feed-forward network. */
  'starcoder 2': {
    name: 'starcoder2',
    layer: (sizes, i) => [
      ...attention(`blk.${i}`, sizes),
      ...attentionBiases(`blk.${i}`, sizes),
      ...plainFeedForward(`blk.${i}`, sizes),
      bias(`blk.${i}.attn_norm.bias`, [sizes.width]),
      bias(`blk.${i}.ffn_norm.bias`, [sizes.width]),
      bias(`blk.${i}.ffn_up.bias`, [sizes.feedForward]),
      bias(`blk.${i}.ffn_down.bias`, [sizes.width]),
    ],
    others: (sizes) => [...output(sizes), bias('output_norm.bias', [sizes.width])],
  },
  /** Windows in three layers of four, without rotation in the fourth; attention and feed-forward side by side. */
  'command r7b': {
    name: 'cohere2',
    layers: 4,
    metadata: { 'attention.sliding_window': uint32(WINDOW), logit_scale: float32(1) },
    layer: (sizes, i) => [
      ...attention(`blk.${i}`, sizes),
      ...gatedFeedForward(`blk.${i}`, sizes).filter(({ name }) => !name.includes('ffn_norm')),
    ],
    others: tiedOutput,
  },
  /** Two sets of factors, from which llama.cpp picks by the length of its context. */
  'phi 3 with LongRoPE': {
    name: 'phi3',
    layer: (sizes, i) => [...fusedAttention(`blk.${i}`, sizes), ...plainFeedForward(`blk.${i}`, sizes, 2)],
    others: (sizes) => [...longRopeFactors(sizes), ...output(sizes)],
  },
  /** The last two layers attend to the keys and values of the first two. */
  'gemma 4': {
    name: 'gemma4',
    layers: 4,
    metadata: {
      'attention.sliding_window': uint32(WINDOW),
      'attention.sliding_window_pattern': { type: 'array', of: 'bool', values: [true, false, true, false] },
      'attention.shared_kv_layers': uint32(2),
      'attention.key_length_swa': uint32(32),
      'attention.value_length_swa': uint32(32),
      embedding_length_per_layer_input: uint32(0),
    },
    layer: (sizes, i) => [
      ...attention(`blk.${i}`, sizes),
      ...headNorms(`blk.${i}`, sizes),
      ...gatedFeedForward(`blk.${i}`, sizes),
      ...postNorms(`blk.${i}`, sizes),
    ],
    others: (sizes) => [vector('rope_freqs.weight', sizes.headSize / 2, (i) => 1 + i / 2), ...tiedOutput(sizes)],
  },
  /** Attention within chunks of 8,192 positions, in three layers of four. */
  'llama 4': {
    name: 'llama4',
    layers: 4,
    metadata: { ...expertMetadata, expert_used_count: uint32(1), interleave_moe_layer_step: uint32(1) },
    layer: (sizes, i) => [
      ...attention(`blk.${i}`, sizes),
      norm(`blk.${i}.ffn_norm`, sizes.width),
      ...experts(`blk.${i}`, sizes),
      ...sharedExpert(`blk.${i}`, sizes),
    ],
    others: output,
  },
  /** Multi-head latent attention: 32 dimensions from which all heads' keys and values are made, and 16 that rotate. */
  'deepseek 2': {
    name: 'deepseek2',
    kvHeads: 1,
    headSize: 48,
    metadata: {
      'attention.q_lora_rank': uint32(32),
      'attention.kv_lora_rank': uint32(32),
      'attention.value_length': uint32(32),
      'attention.key_length_mla': uint32(48),
      'attention.value_length_mla': uint32(32),
      'rope.dimension_count': uint32(16),
      leading_dense_block_count: uint32(2),
      expert_feed_forward_length: uint32(EXPERT_SIZE),
      expert_shared_count: uint32(0),
    },
    layer: (sizes, i) => [
      norm(`blk.${i}.attn_norm`, sizes.width),
      weight(`blk.${i}.attn_q_a.weight`, [sizes.width, 32]),
      norm(`blk.${i}.attn_q_a_norm`, 32),
      weight(`blk.${i}.attn_q_b.weight`, [32, sizes.heads * 48], 2),
      weight(`blk.${i}.attn_kv_a_mqa.weight`, [sizes.width, 48], 2),
      norm(`blk.${i}.attn_kv_a_norm`, 32),
      weight(`blk.${i}.attn_k_b.weight`, [32, 32, sizes.heads]),
      weight(`blk.${i}.attn_v_b.weight`, [32, 32, sizes.heads]),
      weight(`blk.${i}.attn_output.weight`, [sizes.heads * 32, sizes.width], 3),
      ...gatedFeedForward(`blk.${i}`, sizes),
    ],
    others: output,
  },
  /** No attention at all: a state space. */
  mamba: {
    name: 'mamba',
    heads: 0,
    kvHeads: 0,
    feedForward: 0,
    metadata: {
      'ssm.conv_kernel': uint32(4),
      'ssm.inner_size': uint32(256),
      'ssm.state_size': uint32(16),
      'ssm.time_step_rank': uint32(8),
    },
    layer: ({ width }, i) => [
      norm(`blk.${i}.attn_norm`, width),
      weight(`blk.${i}.ssm_in.weight`, [width, 512]),
      weight(`blk.${i}.ssm_conv1d.weight`, [4, 256]),
      bias(`blk.${i}.ssm_conv1d.bias`, [256]),
      weight(`blk.${i}.ssm_x.weight`, [256, 40]),
      weight(`blk.${i}.ssm_dt.weight`, [8, 256]),
      bias(`blk.${i}.ssm_dt.bias`, [256]),
      { ...vector(`blk.${i}.ssm_a`, 16 * 256, (index) => -1 - (index % 16)), shape: [16, 256] },
      vector(`blk.${i}.ssm_d`, 256, () => 1),
      weight(`blk.${i}.ssm_out.weight`, [256, width], 2),
    ],
    others: output,
  },
  /** Short convolutions in one layer, attention in the other. */
  'lfm 2': {
    name: 'lfm2',
    metadata: {
      'attention.head_count_kv': { type: 'array', of: 'uint32', values: [0, 2] },
      'shortconv.l_cache': uint32(3),
    },
    layer: (sizes, i) => [
      ...(i === 1
        ? [...attention(`blk.${i}`, sizes), ...headNorms(`blk.${i}`, sizes)]
        : [
            norm(`blk.${i}.attn_norm`, sizes.width),
            weight(`blk.${i}.shortconv.conv.weight`, [3, sizes.width]),
            weight(`blk.${i}.shortconv.in_proj.weight`, [sizes.width, 3 * sizes.width]),
            weight(`blk.${i}.shortconv.out_proj.weight`, [sizes.width, sizes.width]),
          ]),
      ...gatedFeedForward(`blk.${i}`, sizes),
    ],
    others: (sizes) => [norm('token_embd_norm', sizes.width)],
  },
} satisfies Record<string, Architecture>;

export type ArchitectureName = keyof typeof ARCHITECTURES;

/** Path of a random model of this architecture, with the tokens of {@link byteLevelTokenizer}. */
export function architecturePath(name: ArchitectureName): string {
  return cachedModel(name, (path) => writeArchitecture(path, ARCHITECTURES[name]));
}

function writeArchitecture(path: string, architecture: Architecture): void {
  const sizes: Sizes = { ...DEFAULT_SIZES, ...architecture };
  const { layers, width, heads, kvHeads, headSize, feedForward } = sizes;
  const common: Record<string, MetadataValue> = {
    context_length: uint32(4096),
    block_count: uint32(layers),
    embedding_length: uint32(width),
    feed_forward_length: uint32(feedForward),
    vocab_size: uint32(vocabSize),
    'attention.head_count': uint32(heads),
    'attention.head_count_kv': uint32(kvHeads),
    'attention.key_length': uint32(headSize),
    'attention.value_length': uint32(headSize),
    'attention.layer_norm_rms_epsilon': float32(1e-5),
    'attention.layer_norm_epsilon': float32(1e-5),
    'rope.dimension_count': uint32(headSize),
    'rope.freq_base': float32(10_000),
  };
  const own = Object.entries({ ...common, ...architecture.metadata });
  const metadata = new Map<string, MetadataValue>([
    ['general.architecture', string(architecture.name)],
    ['general.name', string('random')],
    ['general.file_type', uint32(0)],
    ...own.map(([key, value]) => [`${architecture.name}.${key}`, value] as const),
    ...byteLevelTokenizer(),
  ]);
  writeGguf(path, metadata, [
    weight('token_embd.weight', [width, vocabSize]),
    ...Array.from({ length: layers }, (_, index) => architecture.layer(sizes, index)).flat(),
    ...(architecture.others?.(sizes) ?? []),
  ]);
}
