import { fileURLToPath } from 'node:url';
import { type Endpoint, firstModel } from './completion-client.js';
import { startServer } from './server-process.js';
import type { Workload } from './workloads.js';

/** A server to be measured, or one way of running it. */
export interface Target {
  label: string;
  /**
   * Targets with the same `modeOf` are modes of one server: all of them run in the first round, later rounds run only
   * the mode that was faster, for each workload by itself.
   */
  modeOf?: string;
  /** Makes a server ready for one run of `workload`. */
  start(workload: Workload): Promise<RunningTarget>;
}

export interface RunningTarget {
  endpoint: Endpoint;
  stop(): Promise<void>;
}

export type Policy = 'continuous' | 'dynamic' | 'static';

const QUIRE = fileURLToPath(new URL('../../bin/quire.js', import.meta.url));

/** Contexts are given out in steps of this many tokens. */
const CONTEXT_STEP = 256;

async function launch(command: string, argumentsFor: (port: number) => string[]): Promise<RunningTarget> {
  const server = await startServer(command, argumentsFor);
  try {
    const model = await firstModel(server.url);
    return { endpoint: { url: server.url, model, prompts: 'tokens' }, stop: server.stop };
  } catch (error) {
    await server.stop();
    throw error;
  }
}

/** Quire with its defaults but for `policy`. `model` is anything that `quire serve` takes. */
export function quireTarget(options: { model: string; threads: number; policy: Policy; label: string }): Target {
  const { model, threads, policy, label } = options;
  return {
    label,
    start: () =>
      launch(process.execPath, (port) => [
        ...[QUIRE, 'serve', model, '--host', '127.0.0.1', '--port', String(port)],
        ...['--threads', String(threads), '--policy', policy],
      ]),
  };
}

/**
 * llama.cpp's own server: with its defaults, and with a slot for every concurrent request (`-np`), each large enough
 * for the workload's longest request. Which is faster depends on the workload.
 */
export function llamaServerTargets(options: { binary: string; model: string; threads: number }): Target[] {
  const { binary, model, threads } = options;
  const base = (port: number) => [
    ...['-m', model, '-t', String(threads), '-tb', String(threads)],
    ...['--host', '127.0.0.1', '--port', String(port)],
  ];
  const slotsFor = (workload: Workload) => {
    const slot = Math.ceil((workload.longestRequest + 1) / CONTEXT_STEP) * CONTEXT_STEP;
    return ['-np', String(workload.concurrency), '-c', String(workload.concurrency * slot)];
  };
  return [
    {
      label: 'llama-server',
      modeOf: 'llama-server',
      start: () => launch(binary, base),
    },
    {
      label: 'llama-server -np',
      modeOf: 'llama-server',
      start: (workload) => launch(binary, (port) => [...base(port), ...slotsFor(workload)]),
    },
  ];
}

/** A server that is already running and stays so. */
export function urlTarget(endpoint: Endpoint): Target {
  return { label: endpoint.url, start: async () => ({ endpoint, stop: async () => {} }) };
}
