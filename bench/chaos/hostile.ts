import fc from 'fast-check';
import type { OpenApiDocument } from '../../test/support/openapi-requests.js';
import { startQuire } from '../../test/support/quire-process.js';
import { createRandom } from '../random.js';
import { hardForm, hostileRequests } from './hostile-bodies.js';
import { hostileBytes } from './hostile-bytes.js';
import { sendBytes, sendRequest } from './hostile-client.js';
import { type Leaks, leaksOf, metric, residentMiB, slope } from './server-state.js';

export interface HostileOptions {
  /** Whatever `quire serve` takes. */
  model: string;
  /** How many hostile inputs. */
  inputs: number;
  /** At the same time. */
  clients: number;
  seed: number;
  onProgress?(what: string): void;
}

export interface HostileReport {
  seed: number;
  inputs: number;
  seconds: number;
  /** Answers by status; 0: a connection that was closed without one. */
  statuses: Record<string, number>;
  /** Inputs that were answered with a fault, or not in time. */
  faults: string[];
  /** Good requests in between, and those that were not answered as before. */
  good: number;
  different: string[];
  /** Resident memory after each twentieth of the inputs, in MiB. */
  residentMiB: { gateway: number[]; engine: number[] };
  /** Of a line through the last half of them, in MiB for 10,000 inputs. */
  slopes: { gateway: number; engine: number };
  /** Engines that died; blocks and requests that are left. */
  restarts: number;
  leaked: Leaks;
}

/** Of ten inputs so many are written to sockets as they are. */
const RAW_OF_TEN = 4;
const GOOD_EVERY = 250;
const HARD_EVERY = 1_000;
/** fast-check keeps what it makes. */
const BATCH = 1_000;
const PARTS = 20;

const GOOD = { prompt: 'The people of the world', max_tokens: 16, temperature: 0, seed: 1 };

/** Sends a server all kinds of nonsense, and looks whether it is there, answers as before, and is no larger afterwards. */
export async function runHostile({ onProgress = () => {}, ...options }: HostileOptions): Promise<HostileReport> {
  const flags = ['--port', '0', '--max-model-len', '128', '--max-num-seqs', '64', '--kv-cache-memory', '64MiB'];
  const quire = startQuire(['serve', '--model', options.model, ...flags, '--log-level', 'error']);
  try {
    const url = (await quire.seen(/ready at (http:\S+)/))[1]!;
    const document = (await (await fetch(`${url}/openapi.json`)).json()) as OpenApiDocument;
    const expected = await goodText(url);
    const report: HostileReport = {
      seed: options.seed,
      inputs: 0,
      seconds: 0,
      statuses: {},
      faults: [],
      good: 0,
      different: [],
      residentMiB: { gateway: [], engine: [] },
      slopes: { gateway: 0, engine: 0 },
      restarts: 0,
      leaked: { blocks: 0, requests: 0 },
    };
    const began = performance.now();
    const partSize = Math.max(1, Math.floor(options.inputs / PARTS));

    async function one(input: Input): Promise<void> {
      try {
        const status = String(await input.send(url));
        report.statuses[status] = (report.statuses[status] ?? 0) + 1;
      } catch (error) {
        const fault = `${input.name}: ${reasonOf(error)}`;
        report.faults.push(fault);
        onProgress(`fault: ${fault}`);
      }
      const count = ++report.inputs;
      if (count % GOOD_EVERY === 0) await good();
      if (count % partSize === 0) await measure();
    }
    async function good(): Promise<void> {
      const text = await goodText(url).catch((error: unknown) => reasonOf(error));
      report.good++;
      if (text !== expected) report.different.push(text);
    }
    async function measure(): Promise<void> {
      const gateway = residentMiB(quire.child.pid!);
      const engine = residentMiB(quire.enginePid() ?? 0);
      report.residentMiB.gateway.push(gateway);
      report.residentMiB.engine.push(engine);
      const rate = Math.round(report.inputs / ((performance.now() - began) / 1000));
      onProgress(
        `${report.inputs} of ${options.inputs} inputs, ${rate} a second, ${report.faults.length} faults; ` +
          `gateway ${gateway.toFixed(0)} MiB, engine ${engine.toFixed(0)} MiB`,
      );
    }

    const inputs = hostileInputs(document, options);
    const client = async (): Promise<void> => {
      for (const input of inputs) await one(input);
    };
    await Promise.all(Array.from({ length: options.clients }, client));

    report.seconds = (performance.now() - began) / 1000;
    await good();
    const partsOf10k = 10_000 / partSize;
    report.slopes = {
      gateway: slope(report.residentMiB.gateway) * partsOf10k,
      engine: slope(report.residentMiB.engine) * partsOf10k,
    };
    report.restarts = await metric(url, 'quire_engine_restarts_total');
    report.leaked = await leaksOf(url);
    return report;
  } finally {
    quire.kill();
  }
}

interface Input {
  name: string;
  send(url: string): Promise<number>;
}

/** The same seed makes the same inputs in the same order, but not the same order of answers. */
function* hostileInputs(document: OpenApiDocument, { inputs, seed }: HostileOptions): Generator<Input> {
  const random = createRandom(`hostile/${seed}`);
  const requests = hostileRequests(document);
  let batch: ReturnType<typeof fc.sample<typeof requests extends fc.Arbitrary<infer T> ? T : never>> = [];
  for (let i = 0; i < inputs; i++) {
    if (i % HARD_EVERY === HARD_EVERY - 1) {
      const request = hardForm(seed + Math.floor(i / HARD_EVERY));
      yield { name: `input ${i}: ${String(request.body).slice(0, 200)}`, send: (url) => sendRequest(url, request) };
    } else if (random.integer(0, 10) < RAW_OF_TEN) {
      const { name, bytes } = hostileBytes(random);
      const shown = JSON.stringify(bytes.toString('latin1').slice(0, 300));
      yield { name: `input ${i}, ${name}: ${shown}`, send: (url) => sendBytes(url, bytes) };
    } else {
      if (batch.length === 0) batch = fc.sample(requests, { numRuns: BATCH, seed: seed * 1_000_003 + i });
      const request = batch.pop()!;
      const { method, path, body } = request;
      yield {
        name: `input ${i}: ${method} ${path} ${String(body).slice(0, 1_000)}`,
        send: (url) => sendRequest(url, request),
      };
    }
  }
}

async function goodText(url: string): Promise<string> {
  const response = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(GOOD),
    signal: AbortSignal.timeout(60_000),
  });
  const body = (await response.json()) as { choices?: { text: string }[] };
  return body.choices?.[0]?.text ?? JSON.stringify(body);
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause instanceof Error ? ` (${error.cause.message})` : '';
  return `${error.message}${cause}`;
}
