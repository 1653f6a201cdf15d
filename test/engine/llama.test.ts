import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  type ContextOptions,
  type FileType,
  type Llama,
  LlamaBatch,
  type LlamaContext,
  LlamaError,
  type LlamaModel,
  loadLlama,
} from '../../src/llama/index.js';
import { randomModelPath } from '../support/random-model.js';

const log: { level: string; message: string }[] = [];
let llama: Llama;
let path: string;
let model: LlamaModel;
let directory: string;
const contexts: LlamaContext[] = [];

beforeAll(async () => {
  llama = loadLlama({ device: 'cpu', onLog: (level, message) => log.push({ level, message }) });
  path = await randomModelPath();
  model = llama.loadModel(path);
  directory = mkdtempSync(join(tmpdir(), 'quire-llama-'));
});

afterEach(() => {
  for (const context of contexts.splice(0)) context.dispose();
});

afterAll(() => {
  model.dispose();
  rmSync(directory, { recursive: true, force: true });
});

function createContext(options: Partial<ContextOptions> = {}): LlamaContext {
  const context = model.createContext({ batchSize: 64, maxSequences: 8, maxOutputs: 8, threads: 1, ...options });
  contexts.push(context);
  return context;
}

interface Row {
  token: number;
  position: number;
  sequence?: number;
  wantsLogits?: boolean;
}

const batch = new LlamaBatch(64);

function fill(rows: Row[]): LlamaBatch {
  batch.length = rows.length;
  rows.forEach(({ token, position, sequence = 0, wantsLogits = false }, i) => {
    batch.tokens[i] = token;
    batch.positions[i] = position;
    batch.sequenceIds[i] = sequence;
    batch.wantsLogits[i] = wantsLogits ? 1 : 0;
  });
  return batch;
}

/** A whole prompt, with logits after its last token. */
function prompt(tokens: Iterable<number>, sequence = 0): Row[] {
  const all = [...tokens];
  return all.map((token, position) => ({ token, position, sequence, wantsLogits: position === all.length - 1 }));
}

function argMax(logits: Float32Array): number {
  return logits.reduce((best, value, token) => (value > (logits[best] as number) ? token : best), 0);
}

function tokenize(text: string, options = { addSpecial: false, parseSpecial: true }): Int32Array {
  return model.vocab.tokenize(text, options);
}

function detokenize(tokens: Iterable<number>, special = true): string {
  return Buffer.concat([...tokens].map((token) => model.vocab.pieceBytes(token, special))).toString();
}

describe('loadLlama', () => {
  it('says what it loaded', () => {
    expect(llama.version).toMatch(/^0\.5\.0/);
    expect(llama.package).toMatch(/^@node-llama-cpp\//);
    expect(existsSync(llama.ggmlBaseLibrary)).toBe(true);
    expect(llama.cpuBackend).toMatch(/^\w+$/);
    const cpu = llama.devices().find((device) => device.type === 'cpu');
    expect(cpu?.memoryTotal).toBeGreaterThan(0);
  });

  it('returns the same libraries again, and refuses those of another device', () => {
    expect(loadLlama({ device: 'cpu' })).toBe(llama);
    expect(loadLlama()).toBe(llama);
    expect(() => loadLlama({ device: process.platform === 'darwin' ? 'cuda' : 'metal' })).toThrow(LlamaError);
  });

  it('logs whole lines, also where llama.cpp writes one in pieces', () => {
    log.length = 0;
    llama.quantize(path, join(directory, 'logged.gguf'), { type: 'Q8_0', threads: 2 });
    const messages = log.map(({ message }) => message);
    expect(messages).toContainEqual(expect.stringMatching(/^\[ +1\/ *21\] .*converting to q8_0 .*size =.*MiB$/));
    for (const { level, message } of log) {
      expect(['debug', 'info', 'warn', 'error']).toContain(level);
      expect(message).toMatch(/^[^\n]*\S$/);
    }
  });
});

describe('a model', () => {
  it('describes itself', () => {
    expect(model).toMatchObject({
      layers: 2,
      embeddingSize: 256,
      embeddingOutputSize: 256,
      heads: 4,
      kvHeads: 2,
      trainContextLength: 4096,
      slidingWindow: 0,
      ropeType: 'norm',
      ftypeName: 'F32',
      isRecurrent: false,
      isHybrid: false,
      hasEncoder: false,
      hasDecoder: true,
    });
    expect(model.description).toContain('llama');
    expect(model.weightBytes).toBe(4 * model.parameters);
    expect(model.metadata().get('general.architecture')).toBe('llama');
    expect(model.metadata().get('llama.context_length')).toBe('4096');
    expect(model.chatTemplate()).toContain('<|im_start|>');
    expect(model.chatTemplate()).toBe(model.metadata().get('tokenizer.chat_template'));
    expect(model.chatTemplate('tool_use')).toBeUndefined();
  });

  it('can be loaded for its vocabulary alone', () => {
    const vocabOnly = llama.loadModel(path, { vocabOnly: true });
    expect(vocabOnly.layers).toBe(0);
    expect(vocabOnly.vocab.size).toBe(model.vocab.size);
    expect(vocabOnly.chatTemplate()).toBe(model.chatTemplate());
    expect(() => vocabOnly.createContext({ batchSize: 8, maxSequences: 1, maxOutputs: 1, threads: 1 })).toThrow(
      'vocabOnly',
    );
    vocabOnly.dispose();
  });

  it('reports progress in ascending whole percents up to the end', () => {
    const heard: number[] = [];
    llama.loadModel(path, { onProgress: (fraction) => heard.push(fraction) }).dispose();
    expect(heard.at(-1)).toBe(1);
    expect(heard).toEqual([...new Set(heard)].sort((a, b) => a - b));
    expect(heard.map((fraction) => Math.round(fraction * 100) / 100)).toEqual(heard);
  });

  it('is not loaded when the progress listener throws', () => {
    const cancel = () => {
      throw new Error('no longer wanted');
    };
    expect(() => llama.loadModel(path, { onProgress: cancel })).toThrow('no longer wanted');
    llama.loadModel(path).dispose();
  });

  it('can be disposed twice, takes its contexts along, and refuses use afterwards', () => {
    const second = llama.loadModel(path);
    const context = second.createContext({ batchSize: 8, maxSequences: 1, maxOutputs: 1, threads: 1 });
    second.dispose();
    second.dispose();
    context.dispose();
    expect(() => context.decode(fill(prompt([5])))).toThrow('disposed');
    expect(() => context.clearMemory()).toThrow('disposed');
    expect(() => second.metadata()).toThrow('disposed');
    expect(() => second.vocab.tokenize('a', { addSpecial: false, parseSpecial: false })).toThrow('disposed');
    expect(() => second.vocab.pieceBytes(5, false)).toThrow('disposed');
    expect(() => second.createContext({ batchSize: 8, maxSequences: 1, maxOutputs: 1, threads: 1 })).toThrow(
      'disposed',
    );
  });
});

describe('a vocabulary', () => {
  it('knows its special tokens', () => {
    const { vocab } = model;
    const id = (text: string) => tokenize(text)[0] as number;
    expect(vocab).toMatchObject({ size: 512, type: 'bpe', addBos: false, addEos: false, sep: -1 });
    expect([vocab.bos, vocab.eos, vocab.eot]).toEqual([id('<s>'), id('</s>'), id('<|im_end|>')]);
    expect(vocab.isEndOfGeneration(vocab.eos)).toBe(true);
    expect(vocab.isEndOfGeneration(vocab.eot)).toBe(true);
    expect(vocab.isControl(id('<|im_start|>'))).toBe(true);
    expect(vocab.isControl(id('a'))).toBe(false);
    expect(vocab.isEndOfGeneration(id('a'))).toBe(false);
  });

  it('gives every text back from its tokens', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
        expect(detokenize(tokenize(text, { addSpecial: false, parseSpecial: false }))).toBe(
          Buffer.from(text).toString(),
        );
      }),
    );
  });

  it('keeps NUL bytes, puts U+FFFD for lone surrogates, and has no tokens for no text', () => {
    expect(detokenize(tokenize('a\u0000b\u0000'))).toBe('a\u0000b\u0000');
    expect(detokenize(tokenize('a\ud83db\udc00'))).toBe('a\ufffdb\ufffd');
    expect(tokenize('')).toEqual(new Int32Array());
  });

  it('tokenises a megabyte', () => {
    const text = 'The mountain 量 is white. '.repeat(40_000);
    expect(Buffer.byteLength(text)).toBeGreaterThan(1_000_000);
    expect(detokenize(tokenize(text))).toBe(text);
  });

  it('tokenises a megabyte without a single space', () => {
    const text = 'x'.repeat(1_000_000);
    expect(detokenize(tokenize(text))).toBe(text);
  });

  it('reads control tokens only when asked to, and shows them only when asked to', () => {
    const [control, ...rest] = tokenize('<|im_start|>a');
    expect(rest).toHaveLength(1);
    expect(tokenize('<|im_start|>a', { addSpecial: false, parseSpecial: false }).length).toBeGreaterThan(5);
    expect(detokenize([control as number, ...rest], true)).toBe('<|im_start|>a');
    expect(detokenize([control as number, ...rest], false)).toBe('a');
  });

  it('refuses ids that it does not have', () => {
    for (const token of [-1, 512, 1.5, Number.NaN, 2 ** 40]) {
      expect(() => model.vocab.pieceBytes(token, true)).toThrow(RangeError);
      expect(() => model.vocab.isControl(token)).toThrow(RangeError);
      expect(() => model.vocab.isEndOfGeneration(token)).toThrow(RangeError);
    }
  });
});

describe('a context', () => {
  it('computes finite logits for the rows that want them and refuses others', () => {
    const context = createContext();
    context.decode(fill(prompt(tokenize('Hello world'))));
    const last = batch.length - 1;
    const logits = context.logits(last);
    expect(logits).toHaveLength(512);
    expect(logits.every(Number.isFinite)).toBe(true);
    expect(new Set(logits).size).toBeGreaterThan(500);
    for (const row of [0, last + 1, -1, 0.5, 1000]) expect(() => context.logits(row)).toThrow(RangeError);
  });

  it('computes hidden states of all rows in place of logits, and then logits again', () => {
    const context = createContext({ maxOutputs: 64 });
    const rows = prompt(tokenize('Hello world'));
    context.decode(fill(rows.map((row) => ({ ...row, wantsLogits: true }))));
    const before = rows.map((_, row) => context.logits(row).slice());
    expect(() => context.embedding(0)).toThrow(RangeError);
    context.clearMemory();

    context.embed(fill(rows));
    const states = rows.map((_, row) => context.embedding(row).slice());
    for (const state of states) {
      expect(state).toHaveLength(model.embeddingOutputSize);
      expect(state.every(Number.isFinite)).toBe(true);
    }
    expect(new Set(states.map((state) => state[0])).size).toBe(rows.length);
    for (const row of [-1, 0.5, rows.length]) expect(() => context.embedding(row)).toThrow(RangeError);
    expect(() => context.logits(0)).toThrow(RangeError);
    context.clearMemory();

    context.decode(fill(rows.map((row) => ({ ...row, wantsLogits: true }))));
    expect(rows.map((_, row) => context.logits(row).slice())).toEqual(before);
    expect(() => context.embedding(0)).toThrow(RangeError);
  });

  it('refuses more hidden states than it has room for', () => {
    const context = createContext({ maxOutputs: 8 });
    const nine = Array.from({ length: 9 }, (_, position) => ({ token: 5, position }));
    expect(() => context.embed(fill(nine))).toThrow('wants states of 9 tokens, the context has room for 8');
  });

  it('generates varied text that depends on the prompt', () => {
    const context = createContext({ contextLength: 256 });
    const generate = (text: string) => {
      context.clearMemory();
      const tokens = [...tokenize(text)];
      context.decode(fill(prompt(tokens)));
      while (tokens.length < 64) {
        tokens.push(argMax(context.logits(batch.length - 1)));
        context.decode(fill([{ token: tokens.at(-1) as number, position: tokens.length - 1, wantsLogits: true }]));
      }
      return tokens;
    };
    const first = generate('What is gravity?');
    expect(new Set(first).size).toBeGreaterThan(30);
    expect(generate('What is water?').slice(-40)).not.toEqual(first.slice(-40));
    expect(generate('What is gravity?')).toEqual(first);
  });

  it.each([true, false])('gives each of several sequences its own logits (unified %s)', (unified) => {
    const texts = ['Hello', 'What is this', 'white', 'one number'];
    const alone = texts.map((text) => {
      const context = createContext();
      context.decode(fill(prompt(tokenize(text))));
      return context.logits(batch.length - 1).slice();
    });
    const context = createContext({ unified, contextLength: 2048 });
    // One token of each sequence in turn: where llama.cpp groups rows by sequence, it must put their outputs back.
    const prompts = texts.map((text, sequence) => prompt(tokenize(text), sequence));
    const longest = Math.max(...prompts.map((rows) => rows.length));
    const rows = Array.from({ length: longest }, (_, i) => prompts.flatMap((of) => of[i] ?? [])).flat();
    context.decode(fill(rows));
    rows.forEach((row, index) => {
      if (!row.wantsLogits) return;
      const logits = context.logits(index);
      const expected = alone[row.sequence as number] as Float32Array;
      logits.forEach((value, token) => {
        expect(value).toBeCloseTo(expected[token] as number, 2);
      });
    });
  });

  it('keeps the rows apart when more of them want logits than before', () => {
    const context = createContext({ maxOutputs: 64 });
    const tokens = tokenize('question: what is the number of the country?');
    const few = prompt(tokens);
    context.decode(fill(few));
    const last = context.logits(few.length - 1).slice();
    context.clearMemory();
    context.decode(fill(few.map((row) => ({ ...row, wantsLogits: true }))));
    expect(few.length).toBeGreaterThan(8);
    const all = few.map((_, row) => argMax(context.logits(row)));
    expect(argMax(last)).toBe(all.at(-1));
    expect(new Set(all).size).toBeGreaterThan(4);
  });

  it('says why a batch is refused, and works afterwards', () => {
    const context = createContext();
    expect(() => context.decode(fill(prompt([5, 512])))).toThrow(/invalid token\[1\] = 512/);
    expect(() => context.logits(1)).toThrow(RangeError);
    expect(() => context.decode(fill(prompt([-7])))).toThrow(/invalid token\[0\] = -7/);
    expect(() => context.decode(fill([{ token: 5, position: 0, sequence: 999 }]))).toThrow(/invalid seq_id/);
    expect(() => context.decode(fill([5, 6].map((token) => ({ token, position: token }))))).not.toThrow();
    expect(() => context.decode(fill([{ token: 5, position: 9 }]))).toThrow(/consecutive/);
    expect(() => context.decode(fill([]))).toThrow(LlamaError);
    expect(() => context.decode(fill(Array.from({ length: 9 }, (_, i) => ({ ...one(i), wantsLogits: true }))))).toThrow(
      /9 tokens, the context has room for 8/,
    );
    const small = createContext({ batchSize: 4 });
    expect(() => small.decode(fill(Array.from({ length: 5 }, (_, i) => one(i))))).toThrow('5 tokens does not fit');
    context.clearMemory();
    context.decode(fill(prompt([5, 6])));
    expect(context.logits(1).every(Number.isFinite)).toBe(true);
  });

  const one = (position: number): Row => ({ token: 5, position });

  it('says when its KV cache is full', () => {
    const context = createContext({ contextLength: 256 });
    for (let start = 0; start < 256; start += 64) {
      context.decode(fill(Array.from({ length: 64 }, (_, i) => one(start + i))));
    }
    expect(() => context.decode(fill([one(256)]))).toThrow(/no room/);
    context.clearMemory();
    context.decode(fill([one(0)]));
  });

  it('starts a sequence at any position after its memory was cleared', () => {
    const context = createContext();
    for (const position of [0, 1000, 3]) {
      context.decode(fill([{ token: 5, position, wantsLogits: true }]));
      expect(context.logits(0).every(Number.isFinite)).toBe(true);
      context.clearMemory();
    }
  });

  it('shares and forgets positions of sequences', () => {
    const { decode, logits, memory } = createContext();
    decode(fill(prompt(tokenize('Hello world'), 2)));
    const length = batch.length;
    expect([memory.seqPosMin(2), memory.seqPosMax(2), memory.seqPosMax(3)]).toEqual([0, length - 1, -1]);
    memory.seqCopy(2, 3, 0, length);
    const next = { token: 9, position: length, wantsLogits: true };
    decode(
      fill([
        { ...next, sequence: 2 },
        { ...next, sequence: 3 },
      ]),
    );
    expect(logits(1)).toEqual(logits(0));
    expect(memory.seqRemove(3, 4, -1)).toBe(true);
    expect([memory.seqPosMax(2), memory.seqPosMax(3)]).toEqual([length, 3]);
    for (const sequence of [-1, 8, 0.5]) {
      expect(() => memory.seqPosMax(sequence)).toThrow(RangeError);
      expect(() => memory.seqRemove(sequence, 0, -1)).toThrow(RangeError);
      expect(() => memory.seqCopy(0, sequence, 0, -1)).toThrow(RangeError);
    }
    const sliced = createContext({ unified: false, contextLength: 2048 });
    expect(() => sliced.memory.seqCopy(0, 1, 0, 3)).toThrow('unified');
  });

  it('restores a saved sequence in another context, to the bit', () => {
    const context = createContext();
    context.decode(fill(prompt(tokenize('Hello world'), 1)));
    const position = batch.length;
    const saved = context.state.saveSequence(1);
    expect(saved.length).toBe(context.state.sequenceSize(1));
    context.decode(fill([{ token: 9, position, sequence: 1, wantsLogits: true }]));

    const other = createContext();
    other.state.restoreSequence(5, saved);
    expect(other.memory.seqPosMax(5)).toBe(position - 1);
    other.decode(fill([{ token: 9, position, sequence: 5, wantsLogits: true }]));
    expect(other.logits(0)).toEqual(context.logits(0));
  });

  it('refuses a saved sequence that is cut short, of another model, or too long', async () => {
    const context = createContext();
    context.decode(fill(prompt(tokenize('Hello world'))));
    const saved = context.state.saveSequence(0);
    for (const length of [0, 3, 20, saved.length - 1]) {
      expect(() => context.state.restoreSequence(1, saved.subarray(0, length))).toThrow(LlamaError);
    }
    expect(() => context.state.restoreSequence(8, saved)).toThrow(RangeError);
    const deeper = llama.loadModel(await randomModelPath({ layers: 3 }));
    const other = deeper.createContext({ batchSize: 64, maxSequences: 1, maxOutputs: 1, threads: 1 });
    expect(() => other.state.restoreSequence(0, saved)).toThrow(LlamaError);
    deeper.dispose();
  });

  it('refuses impossible sizes', () => {
    const impossible: Partial<ContextOptions>[] = [
      { batchSize: 0 },
      { batchSize: 1.5 },
      { maxSequences: 257 },
      { maxOutputs: 0 },
      { threads: 0 },
      { threads: 513 },
      { contextLength: -1 },
    ];
    for (const options of impossible) expect(() => createContext(options)).toThrow(RangeError);
    for (const capacity of [0, -1, 1.5, Number.NaN]) expect(() => new LlamaBatch(capacity)).toThrow(RangeError);
  });
});

describe('a thread pool', () => {
  it('computes for several contexts in turn with the same result', () => {
    using pool = llama.createThreadPool(2, { polling: 0 });
    const rows = prompt(tokenize('Hello world'));
    const without = createContext();
    without.decode(fill(rows));
    const first = createContext({ threadPool: pool });
    const second = createContext();
    second.attachThreadPool(pool);
    for (const context of [first, second]) {
      context.decode(fill(rows));
      expect(context.logits(rows.length - 1)).toEqual(without.logits(rows.length - 1));
    }
    expect(() => pool.dispose()).toThrow('2 contexts');
    first.dispose();
    second.dispose();
  });

  it('can be disposed twice and not attached afterwards', () => {
    const pool = llama.createThreadPool(2);
    expect(pool.threads).toBe(2);
    pool.dispose();
    pool.dispose();
    expect(() => createContext({ threadPool: pool })).toThrow('disposed');
    for (const threads of [0, 513, 1.5]) expect(() => llama.createThreadPool(threads)).toThrow(RangeError);
    expect(() => llama.createThreadPool(1, { polling: 101 })).toThrow(RangeError);
  });
});

describe('quantize', () => {
  it.each<FileType>(['F16', 'Q8_0', 'Q4_0', 'Q4_1', 'Q4_K_M'])('re-encodes a model to %s, and that again', (type) => {
    const target = join(directory, `${type}.gguf`);
    llama.quantize(path, target, { type, threads: 2 });
    const encoded = llama.loadModel(target);
    expect(encoded.ftypeName).toBe(type);
    expect(encoded.weightBytes).toBeLessThan(model.weightBytes * 0.51);
    expect(encoded.parameters).toBe(model.parameters);
    encoded.dispose();
    llama.quantize(target, target, { type: 'Q8_0', threads: 1 });
    const again = llama.loadModel(target);
    expect(again.ftypeName).toBe('Q8_0');
    again.dispose();
  });

  it('leaves nothing behind when it fails', () => {
    const target = join(directory, 'failed.gguf');
    expect(() => llama.quantize(path, target, { type: 'Q9_Z', threads: 1 })).toThrow(/unknown weight type Q9_Z/);
    expect(() => llama.quantize(join(directory, 'none.gguf'), target, { type: 'Q8_0', threads: 1 })).toThrow(
      LlamaError,
    );
    expect(() => llama.quantize(path, target, { type: 'IQ1_S', threads: 1 })).toThrow(LlamaError);
    expect(statSync(directory).isDirectory() && existsSync(target)).toBe(false);
  });
});
