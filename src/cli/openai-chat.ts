import { EventSourceParserStream } from 'eventsource-parser/stream';
import type { AnswerOptions, ChatBackend, ChatTurn } from './chat-backend.js';
import { CliError } from './cli-error.js';

interface ChatChunk {
  choices?: { delta?: { content?: string | null } }[];
  usage?: { completion_tokens?: number } | null;
  error?: { message?: string };
}

/**
 * Talks to any server with OpenAI's chat completions API.
 *
 * @param url of the server, with or without `/v1`
 * @param options.model left out: the first that the server lists
 * @throws {CliError} when the server cannot be reached or refuses
 */
export async function connectToServer(
  url: string,
  options: { model?: string | undefined; apiKey?: string | undefined },
): Promise<ChatBackend> {
  const base = `${url.replace(/\/+$/, '').replace(/\/v1$/, '')}/v1`;
  const headers = {
    'content-type': 'application/json',
    ...(options.apiKey === undefined ? {} : { authorization: `Bearer ${options.apiKey}` }),
  };

  async function call(path: string, init: RequestInit): Promise<Response> {
    let response: Response;
    try {
      response = await fetch(`${base}${path}`, { ...init, headers });
    } catch (error) {
      if (init.signal?.aborted) throw error;
      throw new CliError(`nothing answers at ${base}`, {
        hint: 'Start a server with `quire serve`, or leave --url out to run the model in this process.',
        cause: error,
      });
    }
    if (!response.ok) throw new CliError(await refusal(response));
    return response;
  }

  async function firstModel(): Promise<string> {
    const list = (await (await call('/models', {})).json()) as { data?: { id: string }[] };
    const id = list.data?.[0]?.id;
    if (id === undefined) throw new CliError(`${base}/models lists no model`, { hint: 'Name one with --model.' });
    return id;
  }

  const model = options.model ?? (await firstModel());

  async function answer(messages: readonly ChatTurn[], { temperature, maxTokens, signal, onText }: AnswerOptions) {
    const response = await call('/chat/completions', {
      method: 'POST',
      signal,
      body: JSON.stringify({
        model,
        messages,
        temperature,
        max_tokens: maxTokens,
        stream: true,
        stream_options: { include_usage: true },
      }),
    });
    let chunks = 0;
    let completionTokens: number | undefined;
    const events = response.body!.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream());
    for await (const { data } of events) {
      if (data === '[DONE]') break;
      const chunk = JSON.parse(data) as ChatChunk;
      if (chunk.error) throw new CliError(chunk.error.message ?? data);
      completionTokens = chunk.usage?.completion_tokens ?? completionTokens;
      const text = chunk.choices?.[0]?.delta?.content;
      if (text) {
        chunks++;
        onText(text);
      }
    }
    // A server that does not report usage sends about one token a chunk.
    return { completionTokens: completionTokens ?? chunks };
  }

  return { model, answer, close: async () => {} };
}

async function refusal(response: Response): Promise<string> {
  const text = await response.text();
  try {
    const { error } = JSON.parse(text) as { error?: { message?: string } };
    if (error?.message) return `the server refused (${response.status}): ${error.message}`;
  } catch {
    // Not JSON: show what came.
  }
  return `the server refused (${response.status}): ${text.slice(0, 200).trim() || response.statusText}`;
}
