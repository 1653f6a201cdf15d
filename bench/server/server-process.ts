import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** A server that a benchmark started and has to stop. */
export interface ServerProcess {
  url: string;
  /** Sends it a signal, and waits for nothing. */
  kill(signal: NodeJS.Signals): void;
  stop(): Promise<void>;
}

const POLL_MS = 50;
const STOP_MS = 15_000;
/** Loading reads the whole model file, which may lie on a slow disk. */
const READY_MS = 180_000;
const KEPT_OUTPUT_LINES = 20;

const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => process.exit(signal === 'SIGINT' ? 130 : 143));
}

/**
 * Starts `command` on a free port of this machine and waits until `GET /health` answers 200. Whatever way the benchmark
 * ends, the process ends with it.
 *
 * @param argumentsFor the command line for the port that was chosen
 * @throws Error with the last lines that the process wrote, when it exits or is not ready in time.
 */
export async function startServer(command: string, argumentsFor: (port: number) => string[]): Promise<ServerProcess> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const args = argumentsFor(port);
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  running.add(child);
  child.once('exit', () => running.delete(child));

  const output = lastLines(child);
  let spawnError: Error | undefined;
  child.once('error', (error) => {
    spawnError = error;
  });
  const stop = async (): Promise<void> => {
    if (spawnError || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    const reluctant = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    await exited;
    clearTimeout(reluctant);
  };

  const deadline = performance.now() + READY_MS;
  while (!(await healthy(url))) {
    const reason =
      spawnError?.message ?? exitReason(child) ?? (performance.now() > deadline ? 'not ready in time' : null);
    if (reason !== null) {
      await stop();
      throw new Error([`${[command, ...args].join(' ')}: ${reason}`, ...output()].join('\n  '));
    }
    await sleep(POLL_MS);
  }
  return { url, kill: (signal) => void child.kill(signal), stop };
}

function exitReason({ exitCode, signalCode }: ChildProcess): string | undefined {
  if (signalCode !== null) return `killed by ${signalCode} before it was ready`;
  if (exitCode !== null) return `exited with ${exitCode} before it was ready`;
  return undefined;
}

async function healthy(url: string): Promise<boolean> {
  try {
    const response = await fetch(`${url}/health`);
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false;
  }
}

/** Reads the child's output for as long as it runs, so that it never blocks on a full pipe, and keeps the end of it. */
function lastLines(child: ChildProcess): () => string[] {
  let lines: string[] = [];
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.setEncoding('utf8');
    stream.on('data', (text: string) => {
      lines = [...lines, ...text.split('\n').filter((line) => line.trim() !== '')].slice(-KEPT_OUTPUT_LINES);
    });
  }
  return () => lines;
}

async function freePort(): Promise<number> {
  const probe = createServer();
  probe.listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  probe.close();
  await once(probe, 'close');
  if (address === null || typeof address === 'string') throw new Error('no TCP port could be opened on 127.0.0.1');
  return address.port;
}
