import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { createRandom } from '../../bench/random.js';
import { complete, type Endpoint, firstModel } from '../../bench/server/completion-client.js';
import { runLoad } from '../../bench/server/load.js';
import { interTokenLatencies, summarise, timeline, timesToFirstToken } from '../../bench/server/summary.js';
import type { BenchRequest } from '../../bench/server/workloads.js';

let server: Server | undefined;

afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

async function serve(
  answer: (body: Record<string, unknown>, response: ServerResponse, request: IncomingMessage) => void,
): Promise<Endpoint> {
  server = createServer((request, response) => {
    let body = '';
    request.on('data', (part) => {
      body += part;
    });
    request.on('end', () => answer(body === '' ? {} : JSON.parse(body), response, request));
  });
  await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, model: 'm', prompts: 'tokens' };
}

/** A clock that goes on by one whenever it is read. */
function countingClock(): () => number {
  let reads = 0;
  return () => reads++;
}

const event = (data: unknown) => `data: ${JSON.stringify(data)}\n\n`;
const text = (content: string, finish: string | null = null) =>
  event({ choices: [{ text: content, finish_reason: finish }] });
const usage = event({
  choices: [],
  usage: { prompt_tokens: 3, completion_tokens: 5, prompt_tokens_details: { cached_tokens: 2 } },
});
const DONE = 'data: [DONE]\n\n';

const request: BenchRequest = { promptTokenIds: [11, 12, 13], maxTokens: 5 };

describe('a completion', () => {
  it('asks for a greedy stream of exactly the tokens wanted, and sends the key', async () => {
    let seen: unknown;
    let key: string | undefined;
    const endpoint = await serve((body, response, { headers }) => {
      seen = body;
      key = headers.authorization;
      response.end(DONE);
    });
    await complete({ ...endpoint, apiKey: 'secret' }, request, countingClock());
    expect(seen).toEqual({
      model: 'm',
      prompt: [11, 12, 13],
      max_tokens: 5,
      temperature: 0,
      ignore_eos: true,
      stream: true,
      stream_options: { include_usage: true },
    });
    expect(key).toBe('Bearer secret');
  });

  it('is sent as one word per token to servers that take text only', async () => {
    let prompt: unknown;
    const endpoint = await serve((body, response) => {
      prompt = body.prompt;
      response.end(DONE);
    });
    await complete({ ...endpoint, prompts: 'text' }, request, countingClock());
    expect(prompt).toMatch(/^[a-z]+ [a-z]+ [a-z]+$/);
  });

  it('notes every chunk with a token in it, and takes the counts from the usage', async () => {
    const endpoint = await serve((_, response) => {
      // An incomplete character has no text yet; the last chunk brings a reason and no token.
      response.end(text('a') + text('') + text('c') + text('', 'length') + usage + DONE);
    });
    expect(await complete(endpoint, request, countingClock())).toEqual({
      startMs: 0,
      chunkMs: [1, 2, 3],
      endMs: 4,
      promptTokens: 3,
      cachedTokens: 2,
      outputTokens: 5,
    });
  });

  it('counts chunks where the server tells no usage', async () => {
    const endpoint = await serve((_, response) => response.end(text('a') + text('b', 'length') + DONE));
    expect(await complete(endpoint, request, countingClock())).toMatchObject({ outputTokens: 2, promptTokens: 0 });
  });

  it.each<[string, (response: ServerResponse) => void, RegExp]>([
    ['refused', (response) => response.writeHead(429).end('too many'), /\/v1\/completions answered 429: too many$/],
    ['broken off', (response) => response.end(text('a')), /ended without \[DONE\]/],
    ['failed midway', (response) => response.end(event({ error: { message: 'out of pages' } })), /out of pages/],
    ['garbled', (response) => response.end('data: {"choices"\n\n'), /JSON/],
    ['cut', (response) => response.write(text('a'), () => response.destroy()), /aborted|socket hang up/],
  ])('that is %s rejects and says why', async (_, answer, message) => {
    const endpoint = await serve((_body, response) => answer(response));
    await expect(complete(endpoint, request, countingClock())).rejects.toThrow(message);
  });
});

describe('the model of a server', () => {
  it('is the first it lists', async () => {
    const { url } = await serve((_, response) => response.end(JSON.stringify({ data: [{ id: 'a' }, { id: 'b' }] })));
    expect(await firstModel(url)).toBe('a');
  });

  it('must be named where it lists none', async () => {
    const { url } = await serve((_, response) => response.end('{"data":[]}'));
    await expect(firstModel(url)).rejects.toThrow('--served-model-name');
  });
});

describe('a load', () => {
  const requests = (count: number): BenchRequest[] =>
    Array.from({ length: count }, (_, i) => ({ promptTokenIds: [i], maxTokens: 1 }));

  it('in a closed loop keeps exactly as many requests open as there are users', async () => {
    const held: ServerResponse[] = [];
    let most = 0;
    let open = 0;
    let answered = 0;
    const endpoint = await serve((_, response) => {
      open++;
      most = Math.max(most, open);
      held.push(response);
      // Answers only when every user waits, or nobody is left to join them.
      if (held.length === 3 || answered + held.length === 7) {
        for (const waiting of held.splice(0)) {
          open--;
          answered++;
          waiting.end(text('a') + DONE);
        }
      }
    });
    const progress: [number, number][] = [];
    const trace = await runLoad(endpoint, requests(7), { kind: 'closed', concurrency: 3 }, (...step) =>
      progress.push(step),
    );
    expect(trace.requests).toHaveLength(7);
    expect(most).toBe(3);
    expect(progress).toEqual([1, 2, 3, 4, 5, 6, 7].map((finished) => [finished, 7]));
  });

  it('in an open loop sends requests before earlier ones are answered', async () => {
    const held: ServerResponse[] = [];
    const endpoint = await serve((_, response) => {
      held.push(response);
      if (held.length === 4) for (const waiting of held) waiting.end(text('a') + DONE);
    });
    const random = createRandom('arrivals');
    const trace = await runLoad(endpoint, requests(4), { kind: 'open', requestsPerSecond: 1_000, random });
    expect(trace.requests).toHaveLength(4);
  });

  it('records failed requests and goes on with the rest', async () => {
    const endpoint = await serve((body, response) => {
      if ((body.prompt as number[])[0] === 1) response.writeHead(500).end('boom');
      else response.end(text('a') + DONE);
    });
    const trace = await runLoad(endpoint, requests(3), { kind: 'closed', concurrency: 1 });
    expect(trace.requests).toHaveLength(2);
    expect(trace.failures).toEqual([expect.stringMatching(/answered 500: boom$/)]);
  });
});

describe('the summary of a run', () => {
  const trace = {
    failures: ['one'],
    requests: [
      { startMs: 100, chunkMs: [300, 400, 700], endMs: 700, promptTokens: 10, cachedTokens: 4, outputTokens: 6 },
      { startMs: 600, chunkMs: [700, 1_100], endMs: 1_100, promptTokens: 20, cachedTokens: 0, outputTokens: 2 },
    ],
  };

  it('has throughput over the time from the first request to the last answer', () => {
    expect(summarise(trace)).toEqual({
      durationMs: 1_000,
      requests: 2,
      failures: 1,
      promptTokens: 30,
      cachedTokens: 4,
      outputTokens: 8,
      outputTokensPerSecond: 8,
      requestsPerSecond: 2,
      ttftP50Ms: 150,
      ttftP99Ms: 199,
      itlP50Ms: 300,
      itlP99Ms: 398,
      endToEndP50Ms: 550,
      endToEndP99Ms: 599,
    });
  });

  it('measures first tokens from the request and later ones from the chunk before', () => {
    expect(timesToFirstToken(trace)).toEqual([200, 100]);
    expect(interTokenLatencies(trace)).toEqual([100, 300, 400]);
  });

  it('is not a number where every request failed', () => {
    const summary = summarise({ requests: [], failures: ['one'] });
    expect(summary).toMatchObject({ failures: 1, durationMs: Number.NaN, outputTokensPerSecond: Number.NaN });
  });

  it('over time, loses no token and no time of generation', () => {
    const slices = timeline(trace, 11);
    expect(slices.map((slice) => slice.atMs)).toEqual([50, 150, 250, 350, 450, 550, 650, 750, 850, 950, 1_050]);
    const total = (values: number[]) => values.reduce((a, b) => a + b);
    expect(total(slices.map((slice) => slice.tokensPerSecond / 10))).toBeCloseTo(8, 9);
    expect(slices.map((slice) => slice.generating)).toEqual([0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]);
  });

  it('over time, is empty where nothing was answered', () => {
    expect(timeline({ requests: [], failures: [] }, 10)).toEqual([]);
  });
});
