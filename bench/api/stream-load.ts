import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { quantiles } from '../statistics.js';
import { monotonicMs, tokenAgeMs } from './emission-clock.js';
import { startGateway } from './gateway-process.js';

/** How many streams get how many tokens. */
export interface StreamLoad {
  streams: number;
  /** How many engines the streams are spread over; each emits a token for all of its streams at once. */
  engines: number;
  /** Over all streams. */
  tokensPerSecond: number;
}

/** What one gateway process did with a load. */
export interface StreamResult {
  receivedTokensPerSecond: number;
  chunksPerSecond: number;
  /** Milliseconds from when an engine emitted a token until the process that reads the streams had it. */
  latencyP50Ms: number;
  latencyP99Ms: number;
  latencyMaxMs: number;
  /** CPU seconds per second of the gateway process, and of the one that reads the streams; 1 is one core busy. */
  gatewayCpu: number;
  readerCpu: number;
  /** CPU time of the gateway process, in microseconds. */
  gatewayMicrosecondsPerToken: number;
  gatewayMemoryMiB: number;
}

/**
 * What it takes to have the gateway's code compiled and optimised, as it is in a server that has run for a while: so many
 * streams at least, for so long.
 */
const WARM_UP = { streams: 50, ms: 3_000 };

/** Streams that were closed are gone by then. */
const SETTLE_MS = 500;

/**
 * Opens the streams at one gateway process and reads them all for `seconds`, once every stream has begun and the
 * gateway is warm.
 */
export async function loadStreams(load: StreamLoad, seconds: number): Promise<StreamResult> {
  const { streams, engines, tokensPerSecond } = load;
  const gateway = await startGateway({ engines, periodMs: (1_000 * streams) / tokensPerSecond });
  try {
    let measuring = false;
    let chunks = 0;
    const latencies: number[] = [];
    const onTokens = (tokens: string): void => {
      if (!measuring) return;
      const nowMs = monotonicMs();
      chunks++;
      for (const token of tokens.trim().split(' ')) latencies.push(tokenAgeMs(Number(token), nowMs));
    };
    const port = Number(new URL(gateway.url).port);
    const openStreams = (count: number) => Array.from({ length: count }, () => openStream(port, onTokens));
    const open = openStreams(streams);
    const ended = Promise.all(open.map((stream) => stream.ended));
    const more = openStreams(Math.max(0, WARM_UP.streams - streams));
    await Promise.race([Promise.all([...open, ...more].map((stream) => stream.begun)), ended]);
    await Promise.race([sleep(WARM_UP.ms), ended]);
    for (const stream of more) stream.close();
    await sleep(SETTLE_MS);

    const before = await gateway.report();
    const readerBefore = process.cpuUsage();
    const beganMs = monotonicMs();
    measuring = true;
    await Promise.race([sleep(seconds * 1_000), ended]);
    measuring = false;
    const elapsedMs = monotonicMs() - beganMs;
    const reader = process.cpuUsage(readerBefore);
    const after = await gateway.report();
    for (const stream of open) stream.close();

    const cpuMs = after.cpuMs - before.cpuMs;
    const [latencyP50Ms, latencyP99Ms, latencyMaxMs] = quantiles(latencies, [0.5, 0.99, 1]);
    return {
      receivedTokensPerSecond: latencies.length / (elapsedMs / 1_000),
      chunksPerSecond: chunks / (elapsedMs / 1_000),
      latencyP50Ms: latencyP50Ms!,
      latencyP99Ms: latencyP99Ms!,
      latencyMaxMs: latencyMaxMs!,
      gatewayCpu: cpuMs / elapsedMs,
      readerCpu: (reader.user + reader.system) / 1_000 / elapsedMs,
      gatewayMicrosecondsPerToken: (1_000 * cpuMs) / latencies.length,
      gatewayMemoryMiB: Math.round(after.rssBytes / 2 ** 20),
    };
  } finally {
    await gateway.stop();
  }
}

interface OpenStream {
  /** Resolves with the first token. */
  begun: Promise<void>;
  /** Rejects when the stream ends, which none may while it is measured. */
  ended: Promise<never>;
  close(): void;
}

const BODY = JSON.stringify({
  model: 'fake',
  messages: [{ role: 'user', content: 'When is it?' }],
  // More than any measurement can read.
  max_tokens: 5_000_000,
  // Some tokens are the fake engine's end-of-generation tokens.
  ignore_eos: true,
  stream: true,
});

const REQUEST = [
  'POST /v1/chat/completions HTTP/1.1',
  'Host: bench',
  'Content-Type: application/json',
  `Content-Length: ${BODY.length}`,
  '',
  BODY,
].join('\r\n');

/** A chunk's text is the tokens that it holds, each after a space. */
const BEFORE_TOKENS = '"content":" ';

/** Where all streams are read into, one after the other: reading must cost little, since it takes CPU from the gateway. */
const readBuffer = Buffer.alloc(2 ** 16);

/**
 * Reads a stream with as little work as will do: no HTTP client, no JSON. What stands between events of the stream,
 * the frames of the chunked encoding, is passed over.
 */
function openStream(port: number, onTokens: (tokens: string) => void): OpenStream {
  let begin: () => void;
  const begun = new Promise<void>((resolve) => {
    begin = resolve;
  });
  let rest = '';
  let answered = false;

  function read(part: string): void {
    const text = rest + part;
    let end = 0;
    for (let at = text.indexOf(BEFORE_TOKENS); at >= 0; at = text.indexOf(BEFORE_TOKENS, end)) {
      const first = at + BEFORE_TOKENS.length;
      const close = text.indexOf('"', first);
      if (close < 0) break;
      end = close;
      onTokens(text.slice(first, close));
      begin();
    }
    rest = text.slice(Math.max(end, text.lastIndexOf('\n') + 1));
  }

  const socket = connect({
    port,
    host: '127.0.0.1',
    onread: {
      buffer: readBuffer,
      callback(bytes) {
        const part = readBuffer.toString('latin1', 0, bytes);
        if (!answered && !part.startsWith('HTTP/1.1 200 ')) socket.destroy(new Error(`the gateway answered ${part}`));
        answered = true;
        read(part);
        return true;
      },
    },
  });
  socket.write(REQUEST);
  const ended = new Promise<never>((_, reject) => {
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('the gateway ended a stream')));
  });
  // Also when it is the benchmark that closes the stream, after nobody waits for its end any more.
  ended.catch(() => {});
  return { begun, ended, close: () => socket.destroy() };
}
