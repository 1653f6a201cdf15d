import { type ChildProcess, fork } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import {
  type EngineConfig,
  type EngineEvent,
  type EngineInfo,
  type EngineMessage,
  type EngineStats,
  type GatewayMessage,
  PROTOCOL_VERSION,
} from '../../engine/protocol.js';
import { createReceiver, createSender } from '../../engine/wire.js';
import { messageFaults, nextEngine } from '../../faults/index.js';
import { EngineUnavailableError } from '../errors.js';
import { type EngineClient, type EngineFailure, EngineStartError, type EngineStartHooks } from './engine-client.js';
import { engineEnvironment } from './engine-environment.js';
import { createLiveRequests } from './live-requests.js';

/** How long an engine may take to finish its step and leave, before it is killed. */
const CLOSE_GRACE_MS = 10_000;

/** How often an engine is asked for a sign of life. */
const HEARTBEAT_MS = 1000;

/** What the engine knows a descriptor as that it is given: the first one behind the three of every process and IPC. */
const INHERITED_DESCRIPTOR = 4;

/** Lines of the engine's output that are told when it dies: a native assert explains itself there and nowhere else. */
const REMEMBERED_LINES = 8;

/**
 * Starts an engine in a process of its own and waits until it can take requests.
 *
 * The engine never outlives this process: it leaves when the IPC channel closes, and is killed when this process exits.
 * It runs in a process group of its own, so that a Ctrl-C at the terminal reaches only this process, which can then
 * let running requests finish.
 *
 * @param entry The program to run; the engine's own unless a test brings one that speaks the same protocol.
 * @throws EngineStartError
 */
export function spawnEngine(
  config: EngineConfig,
  hooks: EngineStartHooks,
  entry = engineEntry(),
): Promise<EngineClient> {
  if (!existsSync(entry)) {
    return Promise.reject(new EngineStartError(`The engine program ${entry} does not exist.`, 'Run `npm run build`.'));
  }
  const left = hooks.memory?.descriptor;
  const { engine, environment } = nextEngine();
  const child = fork(entry, [], {
    serialization: 'advanced',
    env: { ...engineEnvironment(process.env), ...environment },
    execArgv: [],
    detached: process.platform !== 'win32',
    stdio: ['ignore', 'pipe', 'pipe', 'ipc', ...(left === undefined ? [] : [left])],
  });
  const keptMemory = hooks.memory && (left === undefined ? 'new' : INHERITED_DESCRIPTOR);
  killAtExit(child);

  const lastLines: string[] = [];
  for (const output of [child.stdout!, child.stderr!]) {
    forEachLine(output, (line) => {
      lastLines.push(line);
      if (lastLines.length > REMEMBERED_LINES) lastLines.shift();
      hooks.onLog?.('debug', line);
    });
  }

  const live = createLiveRequests();
  let state: 'starting' | 'running' | 'closing' | 'gone' = 'starting';
  let failure: EngineFailure | undefined;
  let stats: EngineStats;
  let heartbeat: NodeJS.Timeout | undefined;
  let lastHeard = performance.now();

  const closed = new Promise<EngineFailure | undefined>((resolve) => {
    // 'close' rather than 'exit': by then all of its output has been read.
    child.on('close', (code, signal) => {
      hooks.signal?.removeEventListener('abort', giveUp);
      const asked = state === 'closing';
      state = 'gone';
      clearInterval(heartbeat);
      if (asked) live.finishAll('abort');
      resolve(asked ? undefined : (failure ?? describeExit(code, signal, lastLines)));
    });
  });

  // Failing to send means that the process is going; its end is what is acted on.
  const send = createSender<GatewayMessage>((frame) => child.send(frame, () => {}), messageFaults(engine));
  const receive = createReceiver<EngineMessage>();

  function fail(reason: string, hint?: string): void {
    failure ??= { reason, hint };
    child.kill('SIGKILL');
  }

  /**
   * A step leaves no time for an answer, so what counts is how long it has been since the last one. Nor does loading a
   * model; but what was lost of what the engine said meanwhile shows with its first answer.
   */
  function watch(silenceMs: number): void {
    let lastBeat = performance.now();
    heartbeat = setInterval(() => {
      const now = performance.now();
      // Where this process has been asleep, too, the engine has had no chance.
      if (now - lastBeat > 2 * HEARTBEAT_MS + 1000) lastHeard = now;
      lastBeat = now;
      if (state === 'running' && now - lastHeard > silenceMs) {
        fail(`The engine has hung: nothing was heard of it for ${Math.round((now - lastHeard) / 1000)} s.`);
      } else if (state !== 'closing') send({ type: 'ping' });
    }, HEARTBEAT_MS);
    heartbeat.unref();
  }

  function giveUp(): void {
    fail('Starting the engine was given up.');
  }

  function hand(
    message: Extract<GatewayMessage, { request: object }>,
    onEvents: (events: EngineEvent[]) => void,
  ): void {
    if (state !== 'running') throw new EngineUnavailableError('The engine is not running.');
    live.add({ id: message.request.id, n: message.type === 'add' ? message.request.n : 1 }, onEvents);
    send(message);
  }

  function createClient(info: EngineInfo): EngineClient {
    return {
      info,
      submit: (request, onEvents) => hand({ type: 'add', request }, onEvents),
      embed: (request, onEvents) => hand({ type: 'embed', request }, onEvents),
      abort(requestId, choice) {
        if (state === 'running') send({ type: 'abort', requestId, choice });
      },
      stats: () => stats,
      closed,
      async close() {
        if (state === 'running') {
          state = 'closing';
          send({ type: 'shutdown' });
          const grace = setTimeout(() => child.kill('SIGKILL'), CLOSE_GRACE_MS);
          closed.then(() => clearTimeout(grace));
        }
        await closed;
      },
    };
  }

  /** The message, unless it came before or the channel can no longer be relied on. */
  function read(frame: unknown): EngineMessage | undefined {
    // What it said before it failed is not to be acted on: the next engine may have been told otherwise.
    if (failure !== undefined) return undefined;
    if (isHello(frame)) return frame;
    try {
      return receive(frame);
    } catch (error) {
      fail(`What the engine says does not arrive: ${(error as Error).message}.`);
      return undefined;
    }
  }

  child.on('error', (error) => fail(`The engine process could not be run: ${error.message}`));
  hooks.signal?.addEventListener('abort', giveUp);
  if (hooks.signal?.aborted) giveUp();

  return new Promise((resolve, reject) => {
    closed.then((cause) => reject(new EngineStartError(cause?.reason ?? 'The engine was closed.', cause?.hint)));
    child.on('message', (frame) => {
      lastHeard = performance.now();
      const message = read(frame);
      switch (message?.type) {
        case 'hello':
          if (message.version === PROTOCOL_VERSION) {
            send({ type: 'start', version: PROTOCOL_VERSION, config, keptMemory });
            if (hooks.silenceMs !== undefined) watch(hooks.silenceMs);
          } else
            fail(`The engine speaks protocol ${message.version}, not ${PROTOCOL_VERSION}.`, 'Run `npm run build`.');
          break;
        case 'progress':
          hooks.onProgress?.(message.phase, message.fraction);
          break;
        case 'ready':
          // From here on it is `close()` that ends the engine.
          hooks.signal?.removeEventListener('abort', giveUp);
          stats = message.stats;
          if (message.keptMemory === undefined) hooks.memory?.discard();
          else hooks.memory?.hold(child.pid!, message.keptMemory);
          state = 'running';
          resolve(createClient(message.info));
          break;
        case 'step':
          stats = message.stats;
          live.dispatch(message.events);
          break;
        case 'admitted':
          live.dispatch(message.requestIds.map((requestId) => ({ type: 'admitted', requestId })));
          break;
        case 'pong':
          break;
        case 'log':
          hooks.onLog?.(message.level, message.message);
          break;
        case 'fatal':
          fail(message.message, message.hint);
          break;
      }
    });
  });
}

function isHello(frame: unknown): frame is Extract<EngineMessage, { type: 'hello' }> {
  return typeof frame === 'object' && frame !== null && 'type' in frame && frame.type === 'hello';
}

/** The engine's program lies in `dist/` also when this file runs from `src/`: a process is started from JavaScript. */
function engineEntry(): string {
  const fromSource = import.meta.url.endsWith('.ts');
  return fileURLToPath(new URL(fromSource ? '../../../dist/engine/main.js' : '../../engine/main.js', import.meta.url));
}

function forEachLine(output: Readable, onLine: (line: string) => void): void {
  createInterface({ input: output }).on('line', onLine);
}

function describeExit(code: number | null, signal: NodeJS.Signals | null, lastLines: readonly string[]): EngineFailure {
  const how = signal === null ? `exit code ${code}` : `signal ${signal}`;
  const said = lastLines.length === 0 ? '' : ` Its last output was:\n${lastLines.join('\n')}`;
  return {
    reason: `The engine process ended with ${how}.${said}`,
    // The kernel's out-of-memory killer is nearly the only one to send this signal without being asked.
    hint: signal === 'SIGKILL' ? 'It may have run out of memory: try a smaller --kv-cache-memory or model.' : undefined,
  };
}

const killedAtExit = new Set<ChildProcess>();

/** No engine outlives this process. One listener does for all, however many engines there are. */
function killAtExit(child: ChildProcess): void {
  if (killedAtExit.size === 0) process.on('exit', killRemaining);
  killedAtExit.add(child);
  child.on('close', () => {
    killedAtExit.delete(child);
    if (killedAtExit.size === 0) process.removeListener('exit', killRemaining);
  });
}

function killRemaining(): void {
  for (const child of killedAtExit) child.kill('SIGKILL');
}
