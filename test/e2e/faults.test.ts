import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ask, type ChaosRequest } from '../../bench/chaos/client.js';
import { pseudoRandomTokens } from '../support/engine-requests.js';
import { type QuireProcess, startQuire } from '../support/quire-process.js';
import { randomModelPath } from '../support/random-model.js';

/** In no prompt but one. */
const POISON = 499;

/** Each engine has its own way to go wrong; the last one's are no reason to replace it. */
const FAULTS = [
  'drop@message=step,n=6',
  'corrupt@message=step,n=6,engine=2',
  'drop@message=add,n=2,engine=3',
  'kill@step=5,engine=4',
  'drop@message=ready,engine=5',
  'fail-decode@step=5,engine=6',
  'corrupt@message=add,n=3,engine=7',
  'abort@step=6,engine=8',
  'exhaust-pages@step=4,steps=20,engine=9',
  'duplicate@message=step,n=4..6,engine=9',
  'delay@message=step,n=9,ms=50,engine=9',
  'slow@step=8..9,ms=20,engine=9',
  `kill@token=${POISON}`,
].join(';');
/** One of the engines never comes up. */
const REPLACED = 7;
/** A poisonous request is tried so often: twice in a crowd, twice alone. */
const TRIES = 4;

const MODEL = 'model';
const REQUESTS: ChaosRequest[] = Array.from({ length: 5 }, (_, i) => ({
  path: '/v1/completions',
  body: {
    model: MODEL,
    prompt: [...pseudoRandomTokens(20 + 30 * i, i, POISON)],
    max_tokens: 80,
    temperature: i % 2,
    seed: i,
    ignore_eos: true,
    stream: true,
    ...(i === 2 && { n: 2 }),
    ...(i === 3 && { logprobs: 2 }),
  },
}));

let args: string[];
const started: QuireProcess[] = [];

beforeAll(async () => {
  const flags = ['--port', '0', '--max-num-seqs', '8', '--max-model-len', '1024', '--kv-cache-memory', '16MiB'];
  args = ['serve', await randomModelPath({ type: 'Q8_0' }), '--served-model-name', MODEL, ...flags];
});

afterAll(() => {
  for (const quire of started) quire.kill();
});

async function serve(env: NodeJS.ProcessEnv): Promise<{ quire: QuireProcess; url: string }> {
  const quire = startQuire(args, { env });
  started.push(quire);
  return { quire, url: (await quire.seen(/ready at (http:\S+)/))[1]! };
}

async function restarts(url: string): Promise<number> {
  return Number(/quire_engine_restarts_total (\d+)/.exec(await (await fetch(`${url}/metrics`)).text())?.[1]);
}

describe('a server whose engines break in every way there is', () => {
  let url: string;
  let undisturbed: string[];

  beforeAll(async () => {
    const reference = await serve({});
    undisturbed = await Promise.all(REQUESTS.map((request) => ask(reference.url, request)));
    reference.quire.kill();
    const faulty = await serve({ QUIRE_FAULTS: FAULTS, QUIRE_ALLOW_FAULTS: '1' });
    url = faulty.url;
    expect(faulty.quire.stdout()).toContain('BREAKS ON PURPOSE');
    expect(faulty.quire.stderr()).toContain('this server breaks on purpose');
  }, 60_000);

  test('gives the answers of one that does not', async () => {
    for (let round = 0; (await restarts(url)) < REPLACED; round++) {
      expect(round).toBeLessThan(10);
      expect(await Promise.all(REQUESTS.map((request) => ask(url, request)))).toEqual(undisturbed);
    }
    // And those of the last one, which goes on.
    expect(await Promise.all(REQUESTS.map((request) => ask(url, request)))).toEqual(undisturbed);
    expect(await restarts(url)).toBe(REPLACED);
    expect((await fetch(`${url}/health`)).status).toBe(200);
  }, 60_000);

  test('ends the one request that engines die of, and goes on with all others', async () => {
    const before = await restarts(url);
    const poison = fetch(`${url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: MODEL, prompt: [5, POISON, 7], max_tokens: 20 }),
    });
    const answers = Promise.all(REQUESTS.map((request) => ask(url, request)));
    const over = poison.then(() => true);
    const health = new Set<string>();
    while (!(await Promise.race([over, new Promise((resolve) => setTimeout(resolve, 20))]))) {
      const { status, message } = (await (await fetch(`${url}/health`)).json()) as Record<string, string>;
      health.add(status === 'restarting' ? `${status}: ${message}` : status!);
      const tokenized = await fetch(`${url}/tokenize`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model: MODEL, prompt: 'hello' }),
      });
      expect(tokenized.status).toBe(200);
      for (const path of ['/v1/models', '/metrics']) expect((await fetch(url + path)).status).toBe(200);
    }
    expect([...health].find((one) => one.startsWith('restarting'))).toContain('SIGKILL');
    const reply = await poison;
    expect([reply.status, await reply.json()]).toEqual([
      500,
      {
        error: {
          message: expect.stringContaining('crashed each time'),
          type: 'server_error',
          param: null,
          code: 'engine_crashed',
        },
      },
    ]);
    expect(await answers).toEqual(undisturbed);
    expect(await restarts(url)).toBe(before + TRIES);
    expect(await (await fetch(`${url}/health`)).json()).toEqual({ status: 'ready' });
  }, 60_000);
});

test('faults are refused where nobody has allowed them', async () => {
  const refused = startQuire(args, { env: { QUIRE_FAULTS: 'kill@step=1' } });
  started.push(refused);
  expect(await refused.ended).toMatchObject({ code: 1 });
  expect(refused.stderr()).toContain('QUIRE_FAULTS is set without QUIRE_ALLOW_FAULTS=1');
}, 30_000);
