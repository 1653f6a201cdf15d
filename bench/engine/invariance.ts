import { type LoadedEngine, loadEngine } from '../../src/engine/load-engine.js';
import type { FileType } from '../../src/llama/index.js';
import { engineConfig, engineRequest } from '../../test/support/engine-requests.js';
import { createRandom } from '../random.js';
import { randomModel, TYPED_MODEL } from '../random-model.js';
import { formatSpread } from '../report/format.js';
import type { Table } from '../report/rows.js';
import { spread } from '../statistics.js';
import type { Part, PartOptions } from './part.js';
import { inTurns, milliseconds } from './turns.js';

const TYPES: readonly FileType[] = ['Q4_0', 'Q8_0', 'Q4_K_M', 'F16'];
/** Sequences that decode together: around multiples of what rows are padded to. */
const BATCHES = [1, 5, 32];
const CONTEXT = 64;
/** Decode steps of one turn. */
const STEPS = 16;
/** A prompt for one step of the default size, which is full without padding. */
const PROMPT = 512;

/** What one type of weights costs without and with `--batch-invariant on`. */
interface TypeCost {
  type: FileType;
  /** Whether answers have the same bits in every batch without being asked to. */
  invariantAnyway: boolean;
  /** Multiple that rows are padded to. */
  rowPadding: number;
  loads: { load: string; offMs: number[]; onMs: number[] }[];
}

/** Milliseconds of a step with and without the rows that `--batch-invariant on` adds. */
export const invariancePart: Part = {
  id: 'invariance',
  title: 'What --batch-invariant on costs',
  usesModel: false,
  async run(options) {
    const costs: TypeCost[] = [];
    for (const type of TYPES) costs.push(await typeCost(type, options));
    return { figures: costs, tables: [costTable(costs)], pictures: [], notes: [] };
  },
};

async function typeCost(type: FileType, { threads, rounds, onProgress }: PartOptions): Promise<TypeCost> {
  const modelPath = await randomModel(TYPED_MODEL, type);
  const open = (batchInvariant: 'auto' | 'on') =>
    loadEngine(
      // Nothing is shared between turns, so each computes its prompts.
      engineConfig({
        modelPath,
        threads,
        batchInvariant,
        maxNumSeqs: 32,
        enablePrefixCaching: false,
        checkEveryStep: false,
      }),
      { onProgress() {}, onLog() {} },
    );
  const off = await open('auto');
  const on = await open('on');
  try {
    const measures = [
      ...BATCHES.map((batch) => ({
        load: batch === 1 ? 'decode alone' : `decode, ${batch} at once`,
        measure: (engine: LoadedEngine) => decodeMs(engine, batch),
      })),
      { load: `prefill, ${PROMPT} tokens`, measure: prefillMs },
    ];
    const loads = measures.map(({ load, measure }, i) => {
      onProgress(`${type} weights`, i / measures.length);
      const [offMs, onMs] = inTurns(rounds, [off, on], measure);
      return { load, offMs: offMs!, onMs: onMs! };
    });
    onProgress(`${type} weights`, 1);
    return { type, invariantAnyway: off.info.batchInvariant, rowPadding: on.info.rowPadding, loads };
  } finally {
    on.dispose();
    off.dispose();
  }
}

function decodeMs({ engine, info }: LoadedEngine, batch: number): number {
  const before = engine.stats().generatedTokens;
  addRequests(engine, info.vocabSize, batch, CONTEXT, 2 * STEPS);
  while (engine.stats().generatedTokens < before + 2 * batch) engine.step();
  const ms = milliseconds(() => {
    for (let i = 0; i < STEPS; i++) engine.step();
  });
  finish(engine);
  return ms / STEPS;
}

function prefillMs({ engine, info }: LoadedEngine): number {
  addRequests(engine, info.vocabSize, 1, PROMPT, 1);
  const ms = milliseconds(() => engine.step());
  finish(engine);
  return ms;
}

function addRequests(
  engine: LoadedEngine['engine'],
  vocabSize: number,
  count: number,
  length: number,
  maxTokens: number,
) {
  const random = createRandom('invariance');
  for (let i = 0; i < count; i++) {
    const prompt = Int32Array.from({ length }, () => random.integer(0, vocabSize));
    engine.add(engineRequest(`${i}`, prompt, { sampling: { maxTokens } }));
  }
}

function finish(engine: LoadedEngine['engine']): void {
  while (engine.hasWork()) engine.step();
  engine.takeEvents();
}

function costTable(costs: readonly TypeCost[]): Table {
  return {
    header: ['weights', 'same bits by default', 'rows padded to', 'load', 'default ms', 'on ms', 'on ÷ default'],
    rows: costs.flatMap(({ type, invariantAnyway, rowPadding, loads }) =>
      loads.map(({ load, offMs, onMs }) => [
        type,
        invariantAnyway ? 'yes' : 'no',
        rowPadding === 1 ? '–' : `${rowPadding}`,
        load,
        formatSpread(spread(offMs)),
        formatSpread(spread(onMs)),
        formatSpread(spread(onMs.map((ms, round) => ms / offMs[round]!))),
      ]),
    ),
  };
}
