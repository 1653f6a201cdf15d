import { setTimeout as sleep } from 'node:timers/promises';
import { startQuire } from '../../test/support/quire-process.js';
import { createRandom, type Random } from '../random.js';
import { type Answer, ask, type ChaosRequest } from './client.js';

export interface ChaosOptions {
  /** Whatever `quire serve` takes. */
  model: string;
  minutes: number;
  /** Mean seconds between two kills of the engine. */
  killEverySeconds: number;
  /** Clients, each of whom asks again once answered. */
  users: number;
  seed: number;
  onProgress?(what: string): void;
}

export interface ChaosReport {
  seed: number;
  kills: number;
  answers: number;
  /** Requests without a whole answer, and answers that an undisturbed server gives otherwise. */
  lost: string[];
  different: string[];
  /** From each kill to the next text of each stream that was running, in ms. */
  pausesMs: number[];
  /** Of the gateway, at the end of warming up and at the end of it all. */
  residentBytes: { before: number; after: number };
  /** Left behind when all is over: blocks of the KV cache in use, running or waiting requests, processes but two. */
  leaked: { blocks: number; requests: number; processes: number };
}

/** Different requests; users send them over and over again, so that each has an answer to compare with. */
const REQUESTS = 48;

const CRASHES: NodeJS.Signals[] = ['SIGKILL', 'SIGABRT', 'SIGSEGV'];

/**
 * Has a server at full load, kills its engine again and again, and compares every answer with that of the same server
 * before.
 */
export async function runChaos({ onProgress = () => {}, ...options }: ChaosOptions): Promise<ChaosReport> {
  const random = createRandom(`chaos/${options.seed}`);
  const flags = ['--port', '0', '--max-model-len', '1024', '--max-num-seqs', '16', '--kv-cache-memory', '192MiB'];
  const quire = startQuire(['serve', '--model', options.model, ...flags]);
  try {
    const url = (await quire.seen(/ready at (http:\S+)/))[1]!;
    const requests = mixedRequests(random);
    const expected = new Map<ChaosRequest, string>();
    onProgress(`${REQUESTS} requests without disturbance`);
    await inTurns(requests.values(), options.users, async (request) => {
      expected.set(request, JSON.stringify((await ask(url, request)).choices));
    });

    const report: ChaosReport = {
      seed: options.seed,
      kills: 0,
      answers: 0,
      lost: [],
      different: [],
      pausesMs: [],
      residentBytes: { before: await metric(url, 'process_resident_memory_bytes'), after: 0 },
      leaked: { blocks: 0, requests: 0, processes: 0 },
    };
    const end = performance.now() + options.minutes * 60_000;
    let lastKill = Number.NEGATIVE_INFINITY;

    const killing = (async () => {
      while (performance.now() < end) {
        await sleep(Math.min(random.exponential(options.killEverySeconds) * 1000, end - performance.now() + 1));
        const pid = quire.enginePid();
        if (pid === undefined || performance.now() >= end) continue;
        process.kill(pid, CRASHES[report.kills % CRASHES.length]);
        lastKill = performance.now();
        report.kills++;
        const left = Math.ceil((end - lastKill) / 60_000);
        onProgress(`kill ${report.kills}, ${report.answers} answers, ${left} minutes left`);
      }
    })();

    function* forever(): Generator<ChaosRequest> {
      for (let i = 0; performance.now() < end; i++) yield requests[i % requests.length]!;
    }
    await inTurns(forever(), options.users, async (request) => {
      let lastHeard = Number.POSITIVE_INFINITY;
      try {
        const answer: Answer = await ask(url, request, () => {
          const now = performance.now();
          if (lastHeard < lastKill) report.pausesMs.push(now - lastKill);
          lastHeard = now;
        });
        const choices = JSON.stringify(answer.choices);
        if (choices !== expected.get(request)) report.different.push(`${JSON.stringify(request)}\n${choices}`);
      } catch (error) {
        report.lost.push(`${JSON.stringify(request)}: ${error instanceof Error ? error.message : error}`);
      }
      report.answers++;
    });
    await killing;

    report.residentBytes.after = await metric(url, 'process_resident_memory_bytes');
    report.leaked = {
      blocks: await metric(url, 'quire_kv_blocks{state="used"}'),
      requests: (await metric(url, 'quire_num_requests_running')) + (await metric(url, 'quire_num_requests_waiting')),
      processes: quire.tree().length - 2,
    };
    return report;
  } finally {
    quire.kill();
  }
}

/** So many at a time, each of `items` once. */
async function inTurns<T>(items: Iterator<T> & Iterable<T>, users: number, use: (item: T) => Promise<void>) {
  const user = async (): Promise<void> => {
    for (let next = items.next(); !next.done; next = items.next()) await use(next.value);
  };
  await Promise.all(Array.from({ length: users }, user));
}

async function metric(url: string, name: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const line = text.split('\n').find((one) => one.startsWith(`${name} `));
  if (line === undefined) throw new Error(`there is no metric ${name}`);
  return Number(line.slice(name.length + 1));
}

/** Of all lengths, greedy and seeded, with one or several choices, penalties, log-probabilities and forms. */
function mixedRequests(random: Random): ChaosRequest[] {
  const shared = tokens(random, 200);
  return Array.from({ length: REQUESTS }, (_, i) => ({
    prompt: [...(i % 3 === 0 ? shared : []), ...tokens(random, random.integer(4, i % 8 === 0 ? 500 : 80))],
    max_tokens: random.integer(8, 96),
    seed: i,
    temperature: i % 4 === 0 ? 0 : 1,
    ...(i % 5 === 0 && { n: 2 }),
    ...(i % 6 === 1 && { frequency_penalty: 0.5, repetition_penalty: 1.1 }),
    ...(i % 7 === 2 && { logprobs: 2 }),
    ...(i % 9 === 3 && { json_schema: { type: 'object', properties: { a: { type: 'string', maxLength: 20 } } } }),
  }));
}

function tokens(random: Random, count: number): number[] {
  return Array.from({ length: count }, () => random.integer(1_000, 30_000));
}
