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
  /** Tokens a second, of answers that were complete within the phase. */
  goodput: number;
  p50TtftMs: number;
  p99TtftMs: number;
  /** Answers that broke off, and refusals that are not as they should be. */
  problems: string[];
}

interface Phase {
  outcomes: Outcome[];
  /** When it was over, and those who wait for an answer still asked nothing more. */
  end: number;
}

const SLOTS = 16;
const KEYS = ['flood', 'quiet'] as const;
const MAX_TOKENS = 48;
/** Of a key that asks one thing after the other: short, so that it asks often. */
const FEW_TOKENS = 16;
/** Times as many requests as the server can answer. */
const OVERLOAD = 10;

/**
 * A server with as many users as keep it busy, for half of the time, then with ten times as many requests as it could answer
 * then.
 */
export async function runOverload(options: OverloadOptions): Promise<{ peak: PhaseReport; overload: PhaseReport }> {
  const { seconds, seed, onProgress = () => {} } = options;
  return withServer(options, async (url) => {
    const random = createRandom(`overload/${seed}`);
    // Twice as many users as slots: whenever an answer is complete, another request waits already.
    const count = 2 * SLOTS;
    onProgress(`${seconds / 2} s with ${count} users`);
    const peak = report(await users(url, 'quiet', count, seconds / 2, random), seconds / 2);
    const rate = (peak.goodput / MAX_TOKENS) * OVERLOAD;
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
    const alone = report(await users(url, 'quiet', 1, seconds, random, FEW_TOKENS), seconds);
    onProgress(`${seconds} s of it beside another one with ${OVERLOAD * SLOTS} requests at a time`);
    const flood = users(url, 'flood', OVERLOAD * SLOTS, seconds + 1, random);
    await sleep(1000);
    const beside = report(await users(url, 'quiet', 1, seconds, random, FEW_TOKENS), seconds);
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
async function users(
  url: string,
  key: string,
  count: number,
  seconds: number,
  random: Random,
  maxTokens = MAX_TOKENS,
): Promise<Phase> {
  const outcomes: Outcome[] = [];
  const end = performance.now() + seconds * 1000;
  const user = async (): Promise<void> => {
    while (performance.now() < end) {
      const outcome = await send(url, key, prompt(random), maxTokens);
      outcomes.push(outcome);
      await sleep(Math.min(outcome.retryAfterMs, Math.max(0, end - performance.now())));
    }
  };
  await Promise.all(Array.from({ length: count }, user));
  return { outcomes, end };
}

/** Requests at random times that wait for nobody. */
async function arrivals(url: string, rate: number, seconds: number, random: Random): Promise<Phase> {
  const answers: Promise<Outcome>[] = [];
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end) {
    answers.push(send(url, 'quiet', prompt(random), MAX_TOKENS));
    await sleep(random.exponential(1000 / rate));
  }
  return { outcomes: await Promise.all(answers), end };
}

function prompt(random: Random): number[] {
  return Array.from({ length: random.integer(16, 128) }, () => random.integer(1_000, 30_000));
}

/** @param end Of the phase, on the clock of `performance.now`. */
function report({ outcomes, end }: Phase, seconds: number): PhaseReport {
  const answered = outcomes.filter(({ status, problem }) => status === 200 && problem === undefined);
  const inTime = answered.filter(({ endedAt }) => endedAt <= end);
  const [p50TtftMs, p99TtftMs] = quantiles(
    answered.map(({ ttftMs }) => ttftMs),
    [0.5, 0.99],
  );
  return {
    answered: answered.length,
    refused: outcomes.filter(({ status }) => status === 429 || status === 503).length,
    goodput: inTime.reduce((sum, { tokens }) => sum + tokens, 0) / seconds,
    p50TtftMs: p50TtftMs!,
    p99TtftMs: p99TtftMs!,
    problems: outcomes.flatMap(({ problem }) => problem ?? []),
  };
}
