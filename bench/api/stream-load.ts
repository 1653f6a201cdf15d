import { request as httpRequest, type IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { createParser } from 'eventsource-parser';
import { quantiles } from '../statistics.js';
import { startGateway } from './gateway-process.js';
import { monotonicMs } from './monotonic.js';

/** What one gateway process did with many open streams. Latencies are milliseconds. */
export interface StreamResult {
  streams: number;
  engines: number;
  /** Tokens per second that the engines emitted; null where they emitted as many as were taken. */
  offeredTokensPerSecond: number | null;
  receivedTokensPerSecond: number;
  chunksPerSecond: number;
  /** From when a token was due from its engine until its chunk was received; null where engines have no schedule. */
  latencyP50Ms: number | null;
  latencyP99Ms: number | null;
  /** CPU time of the gateway process per second; 1 is one core busy. */
  gatewayCpu: number;
  gatewayMemoryMiB: number;
}

/** A chunk's text holds the step numbers of its tokens. */
const TEXT = /"content":"([ \d]+)"/;

interface Received {
  step: number;
  atMs: number;
}

/**
 * Opens `streams` chat completions at one gateway process and reads them all for `seconds`, after every stream has
 * begun.
 *
 * @param options.engines how many engines the streams are spread over; each emits a token for all of its streams at
 * once
 * @param options.tokensPerSecond over all streams; null: as many as the gateway takes
 */
export async function loadStreams(options: {
  streams: number;
  engines: number;
  tokensPerSecond: number | null;
  seconds: number;
}): Promise<StreamResult> {
  const { streams, engines, tokensPerSecond, seconds } = options;
  const periodMs = tokensPerSecond === null ? 0 : (1_000 * streams) / tokensPerSecond;
  const gateway = await startGateway({ engines, periodMs });
  try {
    let measuring = false;
    let chunks = 0;
    const received: Received[] = [];
    const onText = (steps: string): void => {
      if (!measuring) return;
      const atMs = monotonicMs();
      chunks++;
      for (const step of steps.trim().split(' ')) received.push({ step: Number(step), atMs });
    };
    const open = await Promise.all(Array.from({ length: streams }, () => openStream(gateway.url, onText)));
    await Promise.all(open.map((stream) => stream.begun));

    const before = await gateway.usage();
    const beganMs = monotonicMs();
    measuring = true;
    await Promise.race([sleep(seconds * 1_000), Promise.all(open.map((stream) => stream.ended))]);
    measuring = false;
    const elapsedSeconds = (monotonicMs() - beganMs) / 1_000;
    const after = await gateway.usage();
    const emittedMs = tokensPerSecond === null ? null : await gateway.emissions();
    for (const stream of open) stream.close();

    const latencies = emittedMs && received.map(({ step, atMs }) => atMs - emittedMs[step]!);
    const [latencyP50Ms, latencyP99Ms] = latencies ? quantiles(latencies, [0.5, 0.99]) : [null, null];
    return {
      streams,
      engines,
      offeredTokensPerSecond: tokensPerSecond,
      receivedTokensPerSecond: received.length / elapsedSeconds,
      chunksPerSecond: chunks / elapsedSeconds,
      latencyP50Ms: latencyP50Ms!,
      latencyP99Ms: latencyP99Ms!,
      gatewayCpu: (after.cpuMs - before.cpuMs) / (elapsedSeconds * 1_000),
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

async function openStream(url: string, onText: (steps: string) => void): Promise<OpenStream> {
  const body = JSON.stringify({
    model: 'fake',
    messages: [{ role: 'user', content: 'Count the steps.' }],
    // More than any measurement can read.
    max_tokens: 5_000_000,
    // Some step numbers are the fake engine's end-of-generation tokens.
    ignore_eos: true,
    stream: true,
  });
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    const outgoing = httpRequest(new URL('/v1/chat/completions', url), { method: 'POST', headers, agent: false });
    outgoing.on('response', resolve);
    outgoing.on('error', reject);
    outgoing.end(body);
  });
  if (response.statusCode !== 200) throw new Error(`the gateway answered ${response.statusCode}`);

  let begin: () => void;
  const begun = new Promise<void>((resolve) => {
    begin = resolve;
  });
  const parser = createParser({
    onEvent({ data }) {
      const steps = TEXT.exec(data)?.[1];
      if (steps === undefined) return;
      begin();
      onText(steps);
    },
  });
  response.setEncoding('utf8');
  response.on('data', (part: string) => parser.feed(part));
  const ended = new Promise<never>((_, reject) => {
    response.on('error', reject);
    response.on('end', () => reject(new Error('the gateway ended a stream')));
  });
  // Also when it is the benchmark that closes the stream, after nobody waits for its end any more.
  ended.catch(() => {});
  return { begun, ended, close: () => response.destroy() };
}
