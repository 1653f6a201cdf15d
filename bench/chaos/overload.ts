import { setTimeout as sleep } from 'node:timers/promises';
import { type QuireProcess, startQuire } from '../../test/support/quire-process.js';
import { createRandom, type Random } from '../random.js';
import { quantiles } from '../statistics.js';
import { type Outcome, send } from './load-client.js';

export interface OverloadOptions {
  /** Whatever `quire serve` takes. */
  model: string;
  /** How long each phase takes. */
  seconds: number;
  seed: number;
  onProgress?(what: string): void;
}

/** One phase of a load. */
export interface PhaseReport {
  answered: number;
  refused: number;
  /** Pieces of complete answers a second. */
  goodput: number;
  p50TtftMs: number;
  p99TtftMs: number;
  /** Answers that broke off, and refusals that are not as they should be. */
  problems: string[];
}

const SLOTS = 16;
const KEYS = ['flood', 'quiet'] as const;
const MAX_TOKENS = 48;
/** Times as many requests as the server can answer. */
const OVERLOAD = 10;

/** A server with as many users as keep it busy, then with ten times as many requests as it could answer then. */
export async function runOverload(options: OverloadOptions): Promise<{ peak: PhaseReport; overload: PhaseReport }> {
  const { seconds, seed, onProgress = () => {} } = options;
  return withServer(options, async (url) => {
    const random = createRandom(`overload/${seed}`);
    onProgress(`${seconds} s with ${SLOTS} users`);
    const peak = report(await users(url, 'quiet', SLOTS, seconds, random), seconds);
    const rate = (peak.answered / seconds) * OVERLOAD;
    onProgress(`${seconds} s with ${rate.toFixed(1)} requests a second`);
    return { peak, overload: report(await arrivals(url, rate, seconds, random), seconds) };
  });
}

/** One key that sends a request after the other: alone, then beside a key with as many as it can. */
export async function runFairness(options: OverloadOptions): Promise<{ alone: PhaseReport; beside: PhaseReport }> {
  const { seconds, seed, onProgress = () => {} } = options;
  return withServer(options, async (url) => {
    const random = createRandom(`fairness/${seed}`);
    onProgress(`${seconds} s of one key alone`);
    const alone = report(await users(url, 'quiet', 1, seconds, random), seconds);
    onProgress(`${seconds} s of it beside another one with ${OVERLOAD * SLOTS} requests at a time`);
    const flood = users(url, 'flood', OVERLOAD * SLOTS, seconds + 1, random);
    await sleep(1000);
    const beside = report(await users(url, 'quiet', 1, seconds, random), seconds);
    const { problems } = report(await flood, seconds);
    return { alone, beside: { ...beside, problems: [...beside.problems, ...problems] } };
  });
}

async function withServer<T>({ model }: OverloadOptions, use: (url: string, quire: QuireProcess) => Promise<T>) {
  const sizes = ['--max-model-len', '1024', '--max-num-seqs', `${SLOTS}`, '--max-queued-requests', `${2 * SLOTS}`];
  const keys = KEYS.flatMap((key) => ['--api-key', key]);
  const quire = startQuire(['serve', '--model', model, '--port', '0', ...sizes, ...keys]);
  try {
    return await use((await quire.seen(/ready at (http:\S+)/))[1]!, quire);
  } finally {
    quire.kill();
  }
}

/** Each of whom asks again once answered, or, once refused, when it was told to. */
async function users(url: string, key: string, count: number, seconds: number, random: Random): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  const end = performance.now() + seconds * 1000;
  const user = async (): Promise<void> => {
    while (performance.now() < end) {
      const outcome = await send(url, key, prompt(random), MAX_TOKENS);
      outcomes.push(outcome);
      await sleep(Math.min(outcome.retryAfterMs, Math.max(0, end - performance.now())));
    }
  };
  await Promise.all(Array.from({ length: count }, user));
  return outcomes;
}

/** Requests at random times that wait for nobody. */
async function arrivals(url: string, rate: number, seconds: number, random: Random): Promise<Outcome[]> {
  const answers: Promise<Outcome>[] = [];
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end) {
    answers.push(send(url, 'quiet', prompt(random), MAX_TOKENS));
    await sleep(random.exponential(1000 / rate));
  }
  return Promise.all(answers);
}

function prompt(random: Random): number[] {
  return Array.from({ length: random.integer(16, 128) }, () => random.integer(1_000, 30_000));
}

function report(outcomes: Outcome[], seconds: number): PhaseReport {
  const answered = outcomes.filter(({ status, problem }) => status === 200 && problem === undefined);
  const [p50TtftMs, p99TtftMs] = quantiles(
    answered.map(({ ttftMs }) => ttftMs),
    [0.5, 0.99],
  );
  return {
    answered: answered.length,
    refused: outcomes.filter(({ status }) => status === 429 || status === 503).length,
    goodput: answered.reduce((sum, { pieces }) => sum + pieces, 0) / seconds,
    p50TtftMs: p50TtftMs!,
    p99TtftMs: p99TtftMs!,
    problems: outcomes.flatMap(({ problem }) => problem ?? []),
  };
}
