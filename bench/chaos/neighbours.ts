import { setTimeout as sleep } from 'node:timers/promises';
import { startQuire } from '../../test/support/quire-process.js';
import { type Endpoint, firstModel } from '../server/completion-client.js';
import { startServer } from '../server/server-process.js';
import { type Stream, startStream } from './stream.js';

/** A server to which something happens. */
export interface Victim {
  endpoint: Endpoint;
  /** SIGKILL for the process that computes. */
  killEngine(): void;
  /** SIGTERM for the server. */
  stop(): void;
  end(): Promise<void>;
}

/** A server that can be started with little or much memory for keys and values. */
export interface VictimKind {
  label: string;
  start(options: { contextTokens: number; slots: number }): Promise<Victim>;
}

/** What became of the answers that were asked for. */
export interface Outcome {
  asked: number;
  /** With all their tokens, and the end that the protocol has. */
  whole: number;
  /** Ended by an error that says what happened. */
  refused: number;
  /** The rest: the connection ended. */
  broken: number;
}

export interface Misfortune {
  name: string;
  run(kind: VictimKind): Promise<Outcome>;
}

const STREAMS = 8;
const TOKENS = 96;

export function quireVictim(model: string, bytesPerToken: number): VictimKind {
  return {
    label: 'Quire',
    async start({ contextTokens, slots }) {
      // One block more than the tokens fill.
      const memory = (contextTokens + 16) * bytesPerToken;
      const lengths = ['--max-model-len', String(contextTokens), '--max-num-seqs', String(slots)];
      const quire = startQuire(['serve', model, '--port', '0', ...lengths, '--kv-cache-memory', String(memory)]);
      const url = (await quire.seen(/ready at (http:\S+)/))[1]!;
      return {
        endpoint: { url, model: await firstModel(url), prompts: 'tokens' },
        killEngine: () => process.kill(quire.enginePid()!, 'SIGKILL'),
        stop: () => void quire.child.kill('SIGTERM'),
        async end() {
          quire.kill();
          await quire.ended;
        },
      };
    },
  };
}

export function llamaServerVictim(binary: string, model: string): VictimKind {
  return {
    label: 'llama-server',
    async start({ contextTokens, slots }) {
      const server = await startServer(binary, (port) => [
        ...['-m', model, '--host', '127.0.0.1', '--port', String(port)],
        ...['-c', String(contextTokens), '-np', String(slots), '--kv-unified'],
      ]);
      return {
        endpoint: { url: server.url, model: await firstModel(server.url), prompts: 'tokens' },
        killEngine: () => server.kill('SIGKILL'),
        stop: () => server.kill('SIGTERM'),
        async end() {
          server.kill('SIGKILL');
          await server.stop();
        },
      };
    },
  };
}

/** Streams of one prompt each, all of which have begun. */
async function beginStreams(victim: Victim, count: number, tokens: number): Promise<Stream[]> {
  const streams = Array.from({ length: count }, (_, i) =>
    startStream(victim.endpoint, { promptTokenIds: promptOf(i, 64), maxTokens: tokens }),
  );
  await Promise.all(streams.map((stream) => Promise.race([stream.begun, stream.end])));
  return streams;
}

function promptOf(seed: number, length: number): number[] {
  return Array.from({ length }, (_, i) => 1_000 + ((seed * 7_919 + i * 104_729) % 20_000));
}

async function outcomeOf(streams: readonly Stream[]): Promise<Outcome> {
  const ends = await Promise.all(streams.map((stream) => stream.end));
  const count = (wanted: (typeof ends)[number]) => ends.filter((end) => end === wanted).length;
  return { asked: ends.length, whole: count('whole'), refused: count('refused'), broken: count('broken') };
}

async function withVictim(
  kind: VictimKind,
  options: { contextTokens: number; slots: number },
  use: (victim: Victim) => Promise<Outcome>,
): Promise<Outcome> {
  const victim = await kind.start(options);
  try {
    return await use(victim);
  } finally {
    await victim.end();
  }
}

export const MISFORTUNES: readonly Misfortune[] = [
  {
    name: `the process that computes is killed under ${STREAMS} streams`,
    run: (kind) =>
      withVictim(kind, { contextTokens: 4_096, slots: STREAMS }, async (victim) => {
        const streams = await beginStreams(victim, STREAMS, TOKENS);
        victim.killEngine();
        return outcomeOf(streams);
      }),
  },
  {
    name: `SIGTERM under ${STREAMS} streams`,
    run: (kind) =>
      withVictim(kind, { contextTokens: 4_096, slots: STREAMS }, async (victim) => {
        const streams = await beginStreams(victim, STREAMS, TOKENS);
        victim.stop();
        return outcomeOf(streams);
      }),
  },
  {
    name: '4 answers that need twice the KV cache there is, together',
    run: (kind) =>
      withVictim(kind, { contextTokens: 1_024, slots: 4 }, async (victim) =>
        outcomeOf(await beginStreams(victim, 4, 448)),
      ),
  },
  {
    name: `${STREAMS} clients leave, then ${STREAMS} others come`,
    run: (kind) =>
      withVictim(kind, { contextTokens: 4_096, slots: STREAMS }, async (victim) => {
        for (const stream of await beginStreams(victim, STREAMS, 400)) stream.leave();
        await sleep(100);
        return outcomeOf(await beginStreams(victim, STREAMS, TOKENS));
      }),
  },
];
