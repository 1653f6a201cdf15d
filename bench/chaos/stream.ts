import { request as httpRequest } from 'node:http';
import { createParser } from 'eventsource-parser';
import type { Endpoint } from '../server/completion-client.js';
import type { BenchRequest } from '../server/workloads.js';

/** A completion that streams, whatever becomes of it. */
export interface Stream {
  /** Resolves with the first token. */
  begun: Promise<void>;
  /**
   * `whole` with the protocol's end behind tokens, `refused` by a status or an event that is an
   * error in JSON, else `broken`. Never rejects.
   */
  end: Promise<'whole' | 'refused' | 'broken'>;
  /** Closes the connection. */
  leave(): void;
}

export function startStream(endpoint: Endpoint, request: BenchRequest): Stream {
  const begun = deferred<void>();
  const end = deferred<'whole' | 'refused' | 'broken'>();
  let tokens = 0;
  let finished = false;
  let refused = false;
  const parser = createParser({
    onEvent({ data }) {
      if (data === '[DONE]') {
        finished = true;
        return;
      }
      const chunk = parse(data);
      if (chunk?.error) refused = true;
      if (chunk?.choices?.[0] === undefined) return;
      if (chunk.choices[0].finish_reason == null || chunk.choices[0].text) tokens++;
      begun.resolve();
    },
  });
  const body = JSON.stringify({
    model: endpoint.model,
    prompt: request.promptTokenIds,
    max_tokens: request.maxTokens,
    temperature: 0,
    ignore_eos: true,
    stream: true,
  });
  const outgoing = httpRequest(
    new URL('/v1/completions', endpoint.url),
    { method: 'POST', agent: false, headers: { 'content-type': 'application/json' } },
    (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => {
        if (response.statusCode === 200) parser.feed(part);
        else text += part;
      });
      response.on('close', () => {
        if (response.statusCode !== 200) refused = parse(text)?.error !== undefined;
        end.resolve(refused ? 'refused' : finished && tokens > 0 ? 'whole' : 'broken');
      });
    },
  );
  outgoing.on('error', () => end.resolve('broken'));
  outgoing.end(body);
  return { begun: begun.promise, end: end.promise, leave: () => void outgoing.destroy() };
}

interface Chunk {
  choices?: { text?: string; finish_reason?: string | null }[];
  error?: unknown;
}

function parse(text: string): Chunk | undefined {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function deferred<T>(): { promise: Promise<T>; resolve(value: T): void } {
  let resolve!: (value: T) => void;
  const promise = new Promise<T>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
