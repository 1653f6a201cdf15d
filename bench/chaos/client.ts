import { createParser } from 'eventsource-parser';

/** A completion to ask for. */
export interface ChaosRequest {
  prompt: number[];
  max_tokens: number;
  n?: number;
  [sampling: string]: unknown;
}

interface Choice {
  text: string;
  finish: string | null;
  logprobs: number[];
}

/** All that a client sees of it, put together. */
export interface Answer {
  choices: Choice[];
}

/**
 * Streams a completion.
 * @param onText Called for each piece of text.
 * @throws Error when the answer breaks off, or is none
 */
export async function ask(url: string, request: ChaosRequest, onText = () => {}): Promise<Answer> {
  const response = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ...request, stream: true }),
  });
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
  const choices = Array.from({ length: request.n ?? 1 }, (): Choice => ({ text: '', finish: null, logprobs: [] }));
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
      for (const { index, text, finish_reason, logprobs } of chunk.choices ?? []) {
        const choice = choices[index]!;
        choice.text += text;
        choice.finish ??= finish_reason;
        choice.logprobs.push(...(logprobs?.token_logprobs ?? []));
        onText();
      }
    },
  });
  const decoder = new TextDecoder();
  for await (const bytes of response.body!) parser.feed(decoder.decode(bytes, { stream: true }));
  if (fault !== undefined) throw new Error(fault);
  if (!isDone || choices.some(({ finish }) => finish === null)) throw new Error('the answer broke off');
  return { choices };
}
