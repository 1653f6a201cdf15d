import { createParser } from 'eventsource-parser';

/** A request that has one answer only, whenever and however often it is sent. */
export interface ChaosRequest {
  path: '/v1/completions' | '/v1/chat/completions' | '/v1/embeddings';
  body: { stream?: boolean; n?: number; [field: string]: unknown };
}

interface Choice {
  text: string;
  finish: string | null;
  logprobs: number[];
}

/** What chunks and whole answers of completions and chats have in common. */
interface ChoiceBody {
  index: number;
  text?: string;
  delta?: { content?: string | null };
  message?: { content: string | null };
  finish_reason: string | null;
  logprobs?: { token_logprobs?: number[]; content?: { logprob: number }[] } | null;
}

export interface AskOptions {
  /** Called for each piece of text of a stream. */
  onText?: () => void;
  /** Fires when the client leaves. */
  signal?: AbortSignal;
}

/**
 * Sends a request.
 * @returns All that its client sees of the answer, as text to compare.
 * @throws Error when the answer breaks off, or is none
 */
export async function ask(url: string, { path, body }: ChaosRequest, options: AskOptions = {}): Promise<string> {
  const { signal, onText = () => {} } = options;
  const response = await fetch(`${url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal: signal ?? null,
  });
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
  if (path === '/v1/embeddings') return JSON.stringify(((await response.json()) as { data: unknown }).data);

  const choices = Array.from({ length: body.n ?? 1 }, (): Choice => ({ text: '', finish: null, logprobs: [] }));
  const add = ({ index, text, delta, message, finish_reason, logprobs }: ChoiceBody): void => {
    const choice = choices[index]!;
    choice.text += text ?? delta?.content ?? message?.content ?? '';
    choice.finish ??= finish_reason;
    choice.logprobs.push(...(logprobs?.token_logprobs ?? logprobs?.content?.map(({ logprob }) => logprob) ?? []));
  };
  if (!body.stream) {
    for (const choice of ((await response.json()) as { choices: ChoiceBody[] }).choices) add(choice);
    return JSON.stringify(choices);
  }

  let isDone = false;
  let fault: string | undefined;
  const parser = createParser({
    onEvent({ data }) {
      if (data === '[DONE]') {
        isDone = true;
        return;
      }
      const chunk = JSON.parse(data);
      if (chunk.error) fault = JSON.stringify(chunk.error);
      for (const choice of chunk.choices ?? []) {
        add(choice);
        onText();
      }
    },
  });
  const decoder = new TextDecoder();
  for await (const bytes of response.body!) parser.feed(decoder.decode(bytes, { stream: true }));
  if (fault !== undefined) throw new Error(fault);
  if (!isDone || choices.some(({ finish }) => finish === null)) throw new Error('the answer broke off');
  return JSON.stringify(choices);
}
