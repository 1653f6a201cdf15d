import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createServer, type QuireServer } from '../../src/api/create-server.js';
import { createLogger } from '../../src/telemetry/index.js';
import { type FuzzRequest, fuzzOperations, type OpenApiDocument } from '../support/openapi-requests.js';
import { randomModelPath } from '../support/random-model.js';

/** QUIRE_FUZZ_REQUESTS sends more of them, QUIRE_FUZZ_SEED other ones. */
const REQUESTS = Number(process.env.QUIRE_FUZZ_REQUESTS ?? 20_000);
const SEED = Number(process.env.QUIRE_FUZZ_SEED ?? 1);
const AT_ONCE = 16;
/** Nothing that is asked for here takes longer than a fraction of it. */
const HANG_MS = 60_000;

let server: QuireServer;

beforeAll(async () => {
  server = createServer({
    model: await randomModelPath(),
    maxModelLen: 128,
    maxNumSeqs: 128,
    checkEveryStep: true,
    logger: createLogger({ level: 'silent' }),
  });
  await server.serving.whenReady();
});

afterAll(() => server?.close(0));

/** The status of the answer. @throws Error when the answer is none that a server may give */
async function ask({ method, path, body }: FuzzRequest): Promise<number> {
  const response = await server.app.request(path, {
    method,
    ...(body !== undefined && { body, headers: { 'Content-Type': 'application/json' } }),
    signal: AbortSignal.timeout(HANG_MS),
  });
  const text = await response.text();
  const isFault = response.status >= 500 || (response.status >= 400 && !text.includes('error'));
  if (isFault) throw new Error(`${method} ${path} ${body} → ${response.status} ${text}`);
  return response.status;
}

test(`${REQUESTS} requests made from the OpenAPI document: no fault, no hang, no leaked page (seed ${SEED})`, async () => {
  const document = (await (await server.app.request('/openapi.json')).json()) as OpenApiDocument;
  const operations = fuzzOperations(document);
  // Operations with a body have the most to go wrong.
  const weighted = operations.map(({ hasBody, requests }) => ({ arbitrary: requests, weight: hasBody ? 20 : 1 }));
  const requests = fc.sample(fc.oneof(...weighted), { numRuns: REQUESTS, seed: SEED })[Symbol.iterator]();
  let accepted = 0;
  let refused = 0;

  async function client(): Promise<void> {
    for (const request of requests) {
      if ((await ask(request)) < 400) accepted++;
      else refused++;
    }
  }

  await Promise.all(Array.from({ length: AT_ONCE }, client));
  // Both ways are tried, each by more than a handful.
  expect(accepted + refused).toBe(REQUESTS);
  expect(Math.min(accepted, refused)).toBeGreaterThan(REQUESTS / 10);
  await expect
    .poll(() => server.serving.stats(), { timeout: 10_000 })
    .toMatchObject({ blocksUsed: 0, runningSequences: 0, waitingRequests: 0 });
  expect(server.serving.state()).toEqual({ state: 'ready' });
}, 1_200_000);
