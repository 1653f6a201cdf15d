import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { createParser } from 'eventsource-parser';
import type { BenchRequest } from './workloads.js';

/** An OpenAI-compatible server. `url` is its root, without `/v1`. */
export interface Endpoint {
  url: string;
  model: string;
  apiKey?: string;
  /** Some servers take prompts as text only. */
  prompts: 'tokens' | 'text';
}

/** What one request went through. Times are milliseconds on the clock that was passed in. */
export interface RequestTrace {
  startMs: number;
  endMs: number;
  /** When each chunk that carries generated text, or a generated token without text of its own, arrived. */
  chunkMs: number[];
  promptTokens: number;
  /** Prompt tokens that the server says it did not compute again. */
  cachedTokens: number;
  outputTokens: number;
}

interface CompletionChunk {
  choices?: { text?: string; finish_reason?: string | null }[];
  usage?: {
    prompt_tokens: number;
    completion_tokens: number;
    prompt_tokens_details?: { cached_tokens?: number } | null;
  } | null;
  error?: { message?: string };
}

/** Words that are one token with a leading space in the usual vocabularies. */
const WORDS = [
  'the of and to in is that for it as was with be by on not he his but at are this have from or had an they',
  'which you were all her she there would their we him been has when who will more no if out so said what up',
  'its about into than them can only other new some could time these two may then do first any my now such like',
  'our over man me even most made after also did many before must through back years where much your way well',
  'down should because each just those people how too little state good very make world still own see men work',
  'long get here between both life being under never day same another know while last might us great old year',
  'off come since against go came right used take three',
].flatMap((line) => line.split(' '));

function promptFor(request: BenchRequest, endpoint: Endpoint): string | number[] {
  if (endpoint.prompts === 'tokens') return request.promptTokenIds;
  return request.promptTokenIds.map((token) => WORDS[token % WORDS.length]).join(' ');
}

/**
 * Streams one greedy completion from `POST /v1/completions` and notes when its chunks arrive. Every request has a
 * connection of its own, as requests of different users have, and no time limit: a slow server is measured, not failed.
 *
 * @throws Error with the server's own words when it refuses, breaks off, or sends an error.
 */
export function complete(endpoint: Endpoint, request: BenchRequest, now: () => number): Promise<RequestTrace> {
  const body = JSON.stringify({
    model: endpoint.model,
    prompt: promptFor(request, endpoint),
    max_tokens: request.maxTokens,
    temperature: 0,
    ignore_eos: true,
    // llama-server's name of it, which Quire understands as well.
    json_schema: request.jsonSchema,
    stream: true,
    stream_options: { include_usage: true },
  });
  const url = new URL('/v1/completions', endpoint.url);
  const open = url.protocol === 'https:' ? httpsRequest : httpRequest;
  const headers: Record<string, string | number> = {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    accept: 'text/event-stream',
  };
  if (endpoint.apiKey) headers.authorization = `Bearer ${endpoint.apiKey}`;

  return new Promise((resolve, reject) => {
    const startMs = now();
    const outgoing = open(url, { method: 'POST', headers, agent: false }, (response) => {
      response.setEncoding('utf8');
      response.on('error', reject);
      if (response.statusCode !== 200) {
        collect(response, (text) => reject(new Error(`${url.href} answered ${response.statusCode}: ${text}`)));
        return;
      }
      const trace = readStream(response, startMs, now);
      trace.then(resolve, reject);
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

function collect(stream: NodeJS.ReadableStream, done: (text: string) => void): void {
  let text = '';
  stream.on('data', (part: string) => {
    text += part;
  });
  stream.on('end', () => done(text.trim().slice(0, 500)));
}

function readStream(stream: NodeJS.ReadableStream, startMs: number, now: () => number): Promise<RequestTrace> {
  const chunkMs: number[] = [];
  let usage: CompletionChunk['usage'];
  let failure: Error | undefined;
  let done = false;

  const parser = createParser({
    onEvent: ({ data }) => {
      if (data === '[DONE]') {
        done = true;
        return;
      }
      const chunk = JSON.parse(data) as CompletionChunk;
      if (chunk.error) failure = new Error(`the server broke off: ${chunk.error.message ?? data}`);
      const choice = chunk.choices?.[0];
      // A token whose bytes are not yet a character comes as a chunk without text; the last chunk may have none either.
      if (choice && (choice.text || !choice.finish_reason)) chunkMs.push(now());
      if (chunk.usage) usage = chunk.usage;
    },
  });

  return new Promise((resolve, reject) => {
    stream.on('data', (part: string) => {
      try {
        parser.feed(part);
      } catch (error) {
        reject(error);
      }
    });
    stream.on('end', () => {
      if (failure) return reject(failure);
      if (!done) return reject(new Error('the stream ended without [DONE]'));
      resolve({
        startMs,
        endMs: now(),
        chunkMs,
        promptTokens: usage?.prompt_tokens ?? 0,
        cachedTokens: usage?.prompt_tokens_details?.cached_tokens ?? 0,
        // Servers without usage in streams send one chunk per token.
        outputTokens: usage?.completion_tokens ?? chunkMs.length,
      });
    });
  });
}

/**
 * The id of the first model that the server lists.
 *
 * @throws Error when it lists none or cannot be reached.
 */
export async function firstModel(url: string, apiKey?: string): Promise<string> {
  const response = await fetch(new URL('/v1/models', url), {
    headers: apiKey ? { authorization: `Bearer ${apiKey}` } : {},
  });
  if (!response.ok) throw new Error(`${url}/v1/models answered ${response.status}; is it an OpenAI-compatible server?`);
  const list = (await response.json()) as { data?: { id: string }[] };
  const id = list.data?.[0]?.id;
  if (!id) throw new Error(`${url}/v1/models lists no model; name one with --served-model-name`);
  return id;
}
