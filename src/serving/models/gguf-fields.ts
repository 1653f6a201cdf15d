/**
 * What the metadata of a GGUF says about the network and its vocabulary: numbers that llama.cpp divides by, allocates by
 * or uses as an index, some of which it asserts and so ends the process that loads the file.
 */
import { GgufError } from './gguf-reader.js';

/** An array is described by the type and number of its elements; its contents are not kept. */
export type GgufValue = number | bigint | boolean | string | { arrayOf: string; length: number };

/** A metadata value as it is in the file. */
export interface GgufField {
  /** `uint8`, …, `float64`, `bool`, `string` or `array`. */
  type: string;
  value: GgufValue;
  /** Of the value, in bytes from the start of the file. */
  offset: number;
}

type Fields = ReadonlyMap<string, GgufField>;

/** Far above any real model. */
const MAX_TOKENS = 2 ** 22;
const MAX_TEMPLATE_CHARACTERS = 2 ** 20;
/** llama.cpp's own limits. */
const MAX_LAYERS = 512;
const MAX_EXPERTS = 1024;

/** Least and greatest value of a whole number, by its key behind the architecture's name. */
const INTEGERS: Readonly<Record<string, readonly [number, number]>> = {
  block_count: [1, MAX_LAYERS],
  context_length: [1, 2 ** 30],
  embedding_length: [1, 2 ** 20],
  embedding_length_out: [0, 2 ** 20],
  feed_forward_length: [0, 2 ** 24],
  vocab_size: [1, MAX_TOKENS],
  nextn_predict_layers: [0, MAX_LAYERS],
  leading_dense_block_count: [0, MAX_LAYERS],
  expert_count: [0, MAX_EXPERTS],
  expert_used_count: [0, MAX_EXPERTS],
  expert_shared_count: [0, MAX_EXPERTS],
  expert_group_count: [0, MAX_EXPERTS],
  expert_group_used_count: [0, MAX_EXPERTS],
  'attention.head_count': [0, 2 ** 16],
  'attention.head_count_kv': [0, 2 ** 16],
  'attention.key_length': [0, 2 ** 16],
  'attention.value_length': [0, 2 ** 16],
  'attention.key_length_swa': [0, 2 ** 16],
  'attention.value_length_swa': [0, 2 ** 16],
  'attention.sliding_window': [0, 2 ** 31 - 1],
  'rope.dimension_count': [0, 2 ** 16],
  'rope.dimension_count_swa': [0, 2 ** 16],
};

/** Numbers that have to be finite and at least 0; the kernels of norms assert it. */
const NUMBERS = ['attention.layer_norm_epsilon', 'attention.layer_norm_rms_epsilon', 'rope.freq_base'];

const ROPE_SCALINGS = ['none', 'linear', 'yarn', 'longrope'];

/** Arrays with something for each token: the types their elements may have. */
const PER_TOKEN: Readonly<Record<string, readonly string[]>> = {
  'tokenizer.ggml.scores': ['float32', 'int32'],
  'tokenizer.ggml.token_type': ['int32'],
};

const STRING_ARRAYS = ['tokenizer.ggml.tokens', 'tokenizer.ggml.merges'];

/** What converters write for a token that there is none of: -1, also as an unsigned number. */
const NO_TOKEN = [-1, 2 ** 32 - 1];

/**
 * Checks what is there; what is missing, llama.cpp says itself.
 *
 * @throws GgufError naming the key and where its value is in the file
 */
export function checkFields(fields: Fields): void {
  checkNetwork(fields);
  checkVocabulary(fields);
  for (const [key, { type, value, offset }] of fields) {
    if (!/^tokenizer\.chat_template(\.|$)/.test(key)) continue;
    if (typeof value !== 'string') throw new GgufError(`damaged: ${key} is no text but of type ${type}`, offset);
    if (value.length <= MAX_TEMPLATE_CHARACTERS) continue;
    throw new GgufError(
      `${key} has ${value.length} characters, at most ${MAX_TEMPLATE_CHARACTERS} are allowed`,
      offset,
    );
  }
}

function checkNetwork(fields: Fields): void {
  const architecture = fields.get('general.architecture')?.value;
  if (typeof architecture !== 'string') return;
  const get = (key: string) => fields.get(`${architecture}.${key}`);
  const number = (key: string, otherwise: number) => {
    const value = get(key)?.value;
    return typeof value === 'number' ? value : otherwise;
  };
  const wrong = (key: string, what: string): never => {
    const field = get(key);
    throw new GgufError(`damaged: ${architecture}.${key} is ${shown(field?.value)}, ${what}`, field?.offset);
  };

  for (const [key, [least, most]] of Object.entries(INTEGERS)) {
    const value = get(key)?.value;
    // Some may be given for each layer.
    if (value === undefined || typeof value === 'object') continue;
    if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) continue;
    wrong(key, `which should be a whole number from ${least} to ${most}`);
  }
  for (const key of NUMBERS) {
    const value = get(key)?.value;
    if (value === undefined || (typeof value === 'number' && Number.isFinite(value) && value >= 0)) continue;
    wrong(key, 'which should be a number that is not negative');
  }

  const layers = number('block_count', MAX_LAYERS);
  if (number('nextn_predict_layers', 0) > layers) wrong('nextn_predict_layers', `but there are ${layers} layers`);
  for (const [key, { value, offset }] of fields) {
    if (!key.startsWith(`${architecture}.attention.head_count`) || typeof value !== 'object') continue;
    if (value.length >= 1 && value.length <= MAX_LAYERS) continue;
    throw new GgufError(`damaged: ${key} is for ${value.length} layers`, offset);
  }
  const heads = number('attention.head_count', 0);
  const kvHeads = number('attention.head_count_kv', heads);
  if (heads > 0 && kvHeads > 0 && heads % kvHeads !== 0) {
    wrong('attention.head_count_kv', `by which the ${heads} heads do not divide`);
  }
  if (heads > number('embedding_length', heads)) wrong('attention.head_count', 'more than the network is wide');

  checkExperts(number, wrong);
  const scaling = get('rope.scaling.type')?.value;
  if (scaling !== undefined && !ROPE_SCALINGS.includes(scaling as string)) {
    wrong('rope.scaling.type', `which should be one of: ${ROPE_SCALINGS.join(', ')}`);
  }
}

function checkExperts(
  number: (key: string, otherwise: number) => number,
  wrong: (key: string, what: string) => never,
): void {
  const experts = number('expert_count', 0);
  const groups = number('expert_group_count', 0);
  if (number('expert_used_count', 0) > experts) wrong('expert_used_count', `but there are ${experts} experts`);
  if (experts > 0 && number('expert_used_count', 1) === 0) wrong('expert_used_count', 'which should be at least 1');
  if (groups > 0 && groups >= experts) wrong('expert_group_count', `but there are ${experts} experts`);
  if (groups <= 1) return;
  if (experts % groups !== 0) wrong('expert_group_count', `by which ${experts} experts do not divide`);
  const used = number('expert_group_used_count', 0);
  if (used < 1 || used >= groups) wrong('expert_group_used_count', `which should be from 1 to ${groups - 1}`);
}

function checkVocabulary(fields: Fields): void {
  for (const key of STRING_ARRAYS) checkArray(fields, key, ['string'], 0);
  const tokens = fields.get('tokenizer.ggml.tokens')?.value;
  if (typeof tokens !== 'object') return;
  const { length } = tokens;
  if (length === 0) {
    throw new GgufError('damaged: the vocabulary has no tokens', fields.get('tokenizer.ggml.tokens')?.offset);
  }
  for (const [key, types] of Object.entries(PER_TOKEN)) checkArray(fields, key, types, length);
  for (const [key, { value, offset }] of fields) {
    if (!/^tokenizer\.ggml\.\w+_token_id$/.test(key)) continue;
    const isToken = typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < length;
    if (isToken || NO_TOKEN.includes(value as number)) continue;
    throw new GgufError(`damaged: ${key} is ${shown(value)}, but the vocabulary has ${length} tokens`, offset);
  }
}

function checkArray(fields: Fields, key: string, types: readonly string[], least: number): void {
  const field = fields.get(key);
  if (field === undefined) return;
  const { value, offset } = field;
  if (typeof value !== 'object' || !types.includes(value.arrayOf)) {
    throw new GgufError(
      `damaged: ${key} is ${shown(value)}, which should be an array of ${types.join(' or ')}`,
      offset,
    );
  }
  if (value.length < least) {
    throw new GgufError(`damaged: ${key} has ${value.length} elements for ${least} tokens`, offset);
  }
}

function shown(value: GgufValue | undefined): string {
  if (typeof value === 'object') return `an array of ${value.length} ${value.arrayOf}`;
  return typeof value === 'string' ? JSON.stringify(value.slice(0, 40)) : String(value);
}
