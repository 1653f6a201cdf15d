import { setTimeout as sleep } from 'node:timers/promises';
import { startQuire } from '../../test/support/quire-process.js';
import { createRandom, type Random } from '../random.js';
import { ask, type ChaosRequest } from './client.js';
import { type Leaks, leaksOf, openFiles, residentMiB, slope } from './server-state.js';

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
  /** Clients that left in the middle of a stream. */
  left: number;
  /** Resident memory of the gateway, in MiB: before the first kill and after the last answer, and its slope in the last half. */
  residentMiB: { before: number; after: number; slopePerHour: number };
  /** Left behind when all is over; processes but two, sockets, files and pipes but those that were open before. */
  leaked: Leaks & { processes: number; files: number };
}

/** Different requests; users send them over and over again, so that each has an answer to compare with. */
const REQUESTS = 48;

/** One of so many clients leaves when it has seen some text. */
const LEAVES = 16;

/** No engine takes another's place within such a time. */
const ON_ITS_WAY_MS = 150;

/** How often memory is looked at. */
const SAMPLE_MS = 10_000;

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
    const gateway = quire.child.pid!;
    const requests = mixedRequests(random);
    const expected = new Map<ChaosRequest, string>();
    onProgress(`${REQUESTS} requests without disturbance`);
    await inTurns(requests.values(), options.users, async (request) => {
      expected.set(request, await ask(url, request));
    });

    const report: ChaosReport = {
      seed: options.seed,
      kills: 0,
      answers: 0,
      lost: [],
      different: [],
      pausesMs: [],
      left: 0,
      residentMiB: { before: residentMiB(gateway), after: 0, slopePerHour: 0 },
      leaked: { blocks: 0, requests: 0, processes: 0, files: 0 },
    };
    const filesBefore = await quietFiles(gateway);
    const resident: number[] = [];
    const sampling = setInterval(() => resident.push(residentMiB(gateway)), SAMPLE_MS);
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
      if (request.body.stream && random.integer(0, LEAVES) === 0) return leave(request);
      let lastHeard = Number.POSITIVE_INFINITY;
      try {
        const answer = await ask(url, request, {
          onText() {
            const now = performance.now();
            // What the dead engine said last may still be on its way.
            if (now - lastKill < ON_ITS_WAY_MS) return;
            if (lastHeard < lastKill) report.pausesMs.push(now - lastKill);
            lastHeard = now;
          },
        });
        if (answer !== expected.get(request)) report.different.push(`${JSON.stringify(request)}\n${answer}`);
      } catch (error) {
        report.lost.push(`${JSON.stringify(request)}: ${error instanceof Error ? error.message : error}`);
      }
      report.answers++;
    });
    async function leave(request: ChaosRequest): Promise<void> {
      const leaving = new AbortController();
      await ask(url, request, { onText: () => leaving.abort(), signal: leaving.signal }).catch((error: unknown) => {
        if (!leaving.signal.aborted) report.lost.push(`${JSON.stringify(request)}: ${error}`);
      });
      report.left++;
    }
    await killing;

    clearInterval(sampling);

    const files = (await quietFiles(gateway)) - filesBefore;
    report.residentMiB.after = residentMiB(gateway);
    report.residentMiB.slopePerHour = slope(resident) * (3_600_000 / SAMPLE_MS);
    report.leaked = { ...(await leaksOf(url)), processes: quire.tree().length - 2, files: Math.max(0, files) };
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

/** Files that a server has open whose clients have gone: fewer each time that it is looked, until it is done with them. */
async function quietFiles(pid: number): Promise<number> {
  let fewest = Number.POSITIVE_INFINITY;
  for (let look = 0; look < 8; look++) {
    // Idle connections are closed after 5 s.
    await sleep(1000);
    fewest = Math.min(fewest, openFiles(pid));
  }
  return fewest;
}

/** Completions and chats of all lengths, streamed and whole, greedy and seeded, with all kinds of sampling; embeddings. */
function mixedRequests(random: Random): ChaosRequest[] {
  const shared = tokens(random, 200);
  return Array.from({ length: REQUESTS }, (_, i): ChaosRequest => {
    const prompt = [...(i % 3 === 0 ? shared : []), ...tokens(random, random.integer(4, i % 8 === 0 ? 500 : 80))];
    if (i % 12 === 7) return { path: '/v1/embeddings', body: { input: prompt } };
    const isChat = i % 5 === 1;
    const sampling = {
      max_tokens: random.integer(8, 96),
      seed: i,
      temperature: i % 4 === 0 ? 0 : 1,
      stream: i % 10 !== 4,
      ...(i % 5 === 0 && { n: 2 }),
      ...(i % 6 === 1 && { frequency_penalty: 0.5, repetition_penalty: 1.1 }),
      ...(i % 7 === 2 && (isChat ? { logprobs: true, top_logprobs: 2 } : { logprobs: 2 })),
      ...(i % 9 === 3 && { json_schema: { type: 'object', properties: { a: { type: 'string', maxLength: 20 } } } }),
    };
    if (!isChat) return { path: '/v1/completions', body: { prompt, ...sampling } };
    const content = `Tell me about the numbers ${prompt.join(', ').slice(0, 300)}.`;
    return { path: '/v1/chat/completions', body: { messages: [{ role: 'user', content }], ...sampling } };
  });
}

function tokens(random: Random, count: number): number[] {
  return Array.from({ length: count }, () => random.integer(1_000, 30_000));
}
