/** What became of one request. */
export interface Outcome {
  status: number;
  /** From sending to the first text, in ms; NaN without any. */
  ttftMs: number;
  /** Of a whole answer. */
  tokens: number;
  /** When it was over, on the clock of `performance.now`. */
  endedAt: number;
  /** What a refusal says about when to come again, in ms. */
  retryAfterMs: number;
  /** What is wrong with the answer, or with the way in which it was refused. */
  problem?: string;
}

/** Streams a completion of `maxTokens` tokens, and checks the answer or the refusal. */
export async function send(url: string, key: string, prompt: number[], maxTokens: number): Promise<Outcome> {
  const began = performance.now();
  const outcome: Outcome = { status: 0, ttftMs: Number.NaN, tokens: maxTokens, endedAt: 0, retryAfterMs: 0 };
  try {
    const response = await fetch(`${url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
      body: JSON.stringify({ prompt, max_tokens: maxTokens, ignore_eos: true, temperature: 0, stream: true }),
    });
    outcome.status = response.status;
    outcome.retryAfterMs = Number(response.headers.get('retry-after') ?? 0) * 1000;
    if (!response.ok) return { ...outcome, ...faultOf(response, await response.text()) };
    let text = '';
    const decoder = new TextDecoder();
    for await (const bytes of response.body!) {
      if (text === '') outcome.ttftMs = performance.now() - began;
      text += decoder.decode(bytes, { stream: true });
    }
    if (!text.endsWith('data: [DONE]\n\n')) outcome.problem = `the stream ends with ${text.slice(-200)}`;
  } catch (error) {
    outcome.problem = error instanceof Error ? `${error.message} ${error.cause ?? ''}` : String(error);
  }
  outcome.endedAt = performance.now();
  return outcome;
}

/** A refusal has OpenAI's shape and says when to try again. */
function faultOf({ status, headers }: Response, body: string): { problem?: string } {
  const fields = ['code', 'message', 'param', 'type'];
  try {
    const { error } = JSON.parse(body) as { error: object };
    const isShaped = Object.keys(error).sort().join() === fields.join();
    const isTimed = Number(headers.get('retry-after')) >= 1;
    if ((status === 429 || status === 503) && isShaped && isTimed) return {};
  } catch {
    // Said below.
  }
  return { problem: `${status}, Retry-After ${headers.get('retry-after')}: ${body.slice(0, 200)}` };
}
