import { closeSync, openSync, readSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import koffi from 'koffi';
import { type GgufInfo, type GgufTensor, inspectGguf } from '../../src/serving/models/index.js';
import { cCompilers, withCompiled } from '../../test/support/compile-c.js';

/** A model computed in double precision from the weights that its file stores. */
export interface Reference {
  vocabSize: number;
  /**
   * What the network makes of a text, before the output matrix: [tokens][width].
   * @param onProgress a fraction from 0 to 1, after each layer
   */
  hiddenStates(tokens: Int32Array, onProgress?: (fraction: number) => void): Promise<Float64Array>;
  /** Log-probabilities of the token after each of these rows of hidden states: [rows][vocabSize]. */
  logProbabilities(hidden: Float64Array): Promise<Float64Array>;
  /** How far a row of logits is from a row of log-probabilities. @param target the token that does follow */
  compare(logProbabilities: Float64Array, logits: Float32Array, target: number): Divergence;
  dispose(): void;
}

export interface Divergence {
  /** Kullback–Leibler divergence of the logits' distribution from the reference's, in nats. */
  kl: number;
  /** −log of the probability that the logits give the target, in nats. */
  negativeLogLikelihood: number;
  /** Both find the same token most probable. */
  sameArgMax: boolean;
}

/**
 * A reference for models of llama's architecture: RMS norms, rotary positions, grouped-query attention, SwiGLU.
 *
 * @throws Error for another architecture, for what the format has and this has not, and without a C compiler
 */
export async function openReference(modelPath: string, threads: number): Promise<Reference> {
  const info = await inspectGguf(modelPath);
  const network = networkOf(info);
  const native = await loadNative();
  const file = openSync(modelPath, 'r');
  const tensors = new Map(info.tensors.map((tensor) => [tensor.name, tensor]));

  const weights = (name: string): Float64Array => {
    const tensor = tensors.get(name);
    if (tensor === undefined) throw new Error(`the model has no ${name}`);
    return readTensor(native, file, tensor);
  };
  const embedding = weights('token_embd.weight');
  const output = tensors.has('output.weight') ? weights('output.weight') : embedding;
  const { width, layers, heads, kvHeads, headSize, rotated, base, epsilon } = network;
  const vocabSize = embedding.length / width;

  const multiply = async (matrix: Float64Array, columns: number, input: Float64Array): Promise<Float64Array> => {
    const rows = input.length / columns;
    const result = new Float64Array((rows * matrix.length) / columns);
    await native.multiply(matrix, columns, matrix.length / columns, input, rows, result, threads);
    return result;
  };
  const normalise = (input: Float64Array, name: string): Float64Array => {
    const result = new Float64Array(input.length);
    native.rmsNorm(input, weights(name), input.length / width, width, epsilon, result);
    return result;
  };

  /** Adds what a layer finds out to the residual stream. */
  const computeLayer = async (i: number, stream: Float64Array): Promise<void> => {
    const rows = stream.length / width;
    const named = (part: string) => `blk.${i}.${part}.weight`;
    const project = (part: string, columns: number, input: Float64Array) =>
      multiply(weights(named(part)), columns, input);

    const input = normalise(stream, named('attn_norm'));
    const query = await project('attn_q', width, input);
    const keys = await project('attn_k', width, input);
    const values = await project('attn_v', width, input);
    native.rope(query, rows, heads, headSize, rotated, base);
    native.rope(keys, rows, kvHeads, headSize, rotated, base);
    const attended = new Float64Array(query.length);
    await native.attend(query, keys, values, rows, heads, kvHeads, headSize, attended, threads);
    native.add(stream, await project('attn_output', heads * headSize, attended), stream.length);

    const inner = normalise(stream, named('ffn_norm'));
    const gate = await project('ffn_gate', width, inner);
    native.swiglu(gate, await project('ffn_up', width, inner), gate.length);
    native.add(stream, await project('ffn_down', gate.length / rows, gate), stream.length);
  };

  return {
    vocabSize,
    async hiddenStates(tokens, onProgress = () => {}) {
      const stream = new Float64Array(tokens.length * width);
      tokens.forEach((token, row) => {
        stream.set(embedding.subarray(token * width, (token + 1) * width), row * width);
      });
      for (let i = 0; i < layers; i++) {
        await computeLayer(i, stream);
        onProgress((i + 1) / layers);
      }
      return normalise(stream, 'output_norm.weight');
    },
    async logProbabilities(hidden) {
      const logits = await multiply(output, width, hidden);
      await native.logSoftmax(logits, hidden.length / width, vocabSize, threads);
      return logits;
    },
    compare(logProbabilities, logits, target) {
      const result = new Float64Array(3);
      native.compare(logProbabilities, logits, vocabSize, target, result);
      return { kl: result[0]!, negativeLogLikelihood: result[1]!, sameArgMax: result[2] === 1 };
    },
    dispose: () => closeSync(file),
  };
}

interface Network {
  width: number;
  layers: number;
  heads: number;
  kvHeads: number;
  headSize: number;
  /** Dimensions of a head that positions rotate. */
  rotated: number;
  /** Of the rotation's wave lengths. */
  base: number;
  epsilon: number;
}

function networkOf({ architecture, metadata, tensors }: GgufInfo): Network {
  if (architecture !== 'llama') throw new Error(`the reference computes models of type llama, not ${architecture}`);
  const strange = tensors.find(({ name }) => /bias|rope_freqs|_exps|attn_(q|k)_norm/.test(name));
  if (strange !== undefined) throw new Error(`the reference does not know what ${strange.name} is for`);
  const get = (key: string) => metadata.get(`llama.${key}`);
  const scaling = get('rope.scaling.type');
  if (scaling !== undefined && scaling !== 'none') throw new Error(`the reference knows no ${scaling} scaling`);
  const number = (key: string, otherwise: number) => Number(get(key) ?? otherwise);
  const width = number('embedding_length', 0);
  const heads = number('attention.head_count', 0);
  const headSize = number('attention.key_length', width / heads);
  if (headSize % 8 !== 0) throw new Error(`heads of ${headSize} dimensions are not a multiple of 8`);
  return {
    width,
    layers: number('block_count', 0),
    heads,
    kvHeads: number('attention.head_count_kv', heads),
    headSize,
    rotated: number('rope.dimension_count', headSize),
    base: number('rope.freq_base', 10_000),
    epsilon: number('attention.layer_norm_rms_epsilon', 1e-5),
  };
}

/** `enum ggml_type` of the types that reference.c reads. */
const TYPES: Readonly<Record<string, number>> = { F32: 0, F16: 1, Q4_0: 2, Q4_1: 3, Q8_0: 8 };

function readTensor(native: ReturnType<typeof bind>, file: number, tensor: GgufTensor): Float64Array {
  const type = TYPES[tensor.type];
  if (type === undefined) throw new Error(`the reference cannot read ${tensor.name}, which is of type ${tensor.type}`);
  const bytes = new Uint8Array(tensor.bytes);
  readSync(file, bytes, 0, tensor.bytes, tensor.offset);
  const values = new Float64Array(tensor.shape.reduce((product, n) => product * n, 1));
  native.dequantize(type, bytes, values.length, values);
  return values;
}

/** Fused products and sums round once less, which a reference may. */
const FLAGS = ['-O3', '-march=native', '-ffp-contract=fast', '-shared', '-fPIC'];

async function loadNative() {
  const [compiler] = await cCompilers();
  if (compiler === undefined)
    throw new Error('the reference is compiled here: install gcc or clang, or name one in $CC');
  // A loaded library does not need its file any more.
  return withCompiled(compiler, [fileURLToPath(new URL('./reference.c', import.meta.url))], FLAGS, bind);
}

/** The functions of reference.c. What takes long runs on another thread. */
function bind(path: string) {
  const library = koffi.load(path);
  const apart = (definition: string) => {
    const call = library.func(definition);
    return (...values: unknown[]) =>
      new Promise<void>((resolve, reject) => {
        call.async(...values, (error: Error | null) => (error ? reject(error) : resolve()));
      });
  };
  return {
    dequantize: library.func(
      'int32_t reference_dequantize(int32_t type, const uint8_t *from, int64_t count, double *to)',
    ),
    multiply: apart(
      'void reference_multiply(const double *weights, int64_t columns, int64_t outputs, const double *input, ' +
        'int64_t rows, double *output, int32_t threads)',
    ),
    attend: apart(
      'void reference_attend(const double *query, const double *keys, const double *values, int64_t rows, ' +
        'int64_t heads, int64_t kv_heads, int64_t head_size, double *output, int32_t threads)',
    ),
    rmsNorm: library.func(
      'void reference_rms_norm(const double *input, const double *gain, int64_t rows, int64_t width, double epsilon, ' +
        'double *output)',
    ),
    rope: library.func(
      'void reference_rope(double *values, int64_t rows, int64_t heads, int64_t head_size, int64_t rotated, ' +
        'double base)',
    ),
    swiglu: library.func('void reference_swiglu(double *gate, const double *up, int64_t count)'),
    add: library.func('void reference_add(double *sum, const double *term, int64_t count)'),
    logSoftmax: apart('void reference_log_softmax(double *logits, int64_t rows, int64_t count, int32_t threads)'),
    compare: library.func(
      'void reference_compare(const double *log_p, const float *logits, int64_t count, int64_t target, double *result)',
    ),
  };
}
