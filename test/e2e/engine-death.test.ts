import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { defaultModelPath } from '../support/default-model.js';
import { type QuireProcess, startQuire } from '../support/quire-process.js';

const MODEL = 'default-model';
const SCHEMA = {
  type: 'object',
  properties: { name: { type: 'string', maxLength: 40 }, age: { type: 'integer', minimum: 0 } },
  required: ['name', 'age'],
};

/** Greedy, seeded, with several choices, penalties, a form, and a long prompt that is shared. */
const REQUESTS: OpenAI.ChatCompletionCreateParams[] = [
  { temperature: 0 },
  { temperature: 1, seed: 7 },
  { temperature: 0.9, seed: 8, n: 2, frequency_penalty: 0.3 },
  { temperature: 1, seed: 9, response_format: { type: 'json_schema', json_schema: { name: 'p', schema: SCHEMA } } },
  { temperature: 1, seed: 10, logprobs: true, top_logprobs: 2 },
].map((sampling, i) => ({
  model: MODEL,
  max_tokens: 60,
  ...(sampling as object),
  messages: [
    { role: 'system', content: 'You are a helpful assistant. '.repeat(i === 0 ? 1 : 20) },
    { role: 'user', content: `Tell me about the number ${i} and a person who likes it.` },
  ],
}));

let quire: QuireProcess;
let client: OpenAI;
let url: string;

beforeAll(async () => {
  const flags = ['--port', '0', '--max-model-len', '2048', '--served-model-name', MODEL, '--engine-timeout', '5'];
  quire = startQuire(['serve', '--model', await defaultModelPath(), ...flags]);
  url = (await quire.seen(/ready at (http:\S+)/))[1]!;
  client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });
}, 60_000);

afterAll(() => quire?.kill());

/** Sends a signal to the engine process, as soon as there is one. */
async function signalEngine(signal: NodeJS.Signals): Promise<void> {
  await expect.poll(() => quire.enginePid(), { timeout: 20_000 }).toBeDefined();
  process.kill(quire.enginePid()!, signal);
}

/** All that a client sees of an answer, put together. */
async function answer(request: OpenAI.ChatCompletionCreateParams, onText = () => {}) {
  const stream = await client.chat.completions.create({ ...request, stream: true });
  const choices = Array.from({ length: request.n ?? 1 }, () => ({
    text: '',
    tokens: [] as string[],
    finish: '' as string | null,
  }));
  for await (const { choices: chunk } of stream) {
    for (const { index, delta, finish_reason, logprobs } of chunk) {
      const choice = choices[index]!;
      choice.text += delta.content ?? '';
      choice.tokens.push(...(logprobs?.content ?? []).map(({ token, logprob }) => `${token}:${logprob}`));
      choice.finish = finish_reason;
      if (delta.content) onText();
    }
  }
  return choices;
}

describe('an engine that dies', () => {
  test('costs its clients a pause and no token: killed again and again', async () => {
    const undisturbed = await Promise.all(REQUESTS.map((request) => answer(request)));
    let pieces = 0;
    let kills = 0;
    const answers = Promise.all(REQUESTS.map((request) => answer(request, () => pieces++)));
    const over = answers.then(() => true);
    while (kills < 4 && !(await Promise.race([over, new Promise((resolve) => setTimeout(resolve, 5))]))) {
      if (pieces < 25 * (kills + 1)) continue;
      await signalEngine(kills % 2 === 0 ? 'SIGKILL' : 'SIGABRT');
      kills++;
    }
    expect(await answers).toEqual(undisturbed);
    expect(kills).toBeGreaterThanOrEqual(2);
    const metrics = await (await fetch(`${url}/metrics`)).text();
    expect(metrics).toMatch(new RegExp(`quire_engine_restarts_total ${kills}`));
  }, 120_000);

  test('leaves its KV cache to the next one', async ({ skip }) => {
    const started = await quire.seen(/no huge pages for shared memory|KV cache of the engine before: (\d+) blocks/);
    skip(started[1] === undefined, 'this system has no huge pages for shared memory');
    expect(Number(started[1])).toBeGreaterThan(10);
  });

  test('is replaced when it freezes', async () => {
    const [request] = REQUESTS;
    const undisturbed = await answer(request!);
    let frozen = false;
    const disturbed = answer(request!, () => {
      if (frozen) return;
      frozen = true;
      process.kill(quire.enginePid()!, 'SIGSTOP');
    });
    expect(await disturbed).toEqual(undisturbed);
  }, 120_000);

  test('takes no new request with it', async () => {
    await signalEngine('SIGKILL');
    const { choices } = await client.chat.completions.create({ ...REQUESTS[0]!, stream: false });
    expect(choices[0]?.finish_reason).toBe('length');
    expect((await fetch(`${url}/health`)).status).toBe(200);
  }, 60_000);
});
