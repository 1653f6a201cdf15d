import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LoadedEngine } from '../../src/engine/load-engine.js';
import type { EngineRequest, SamplingParams } from '../../src/engine/protocol.js';
import type { GrammarText } from '../../src/grammar/grammar.js';
import { jsonSchemaGrammar } from '../../src/grammar/json-schema.js';
import { loadLlama } from '../../src/llama/index.js';
import { engineRequest, pseudoRandomTokens } from '../support/engine-requests.js';
import { randomModelPath } from '../support/random-model.js';
import { jsonValidator, randomSchema } from '../support/random-schema.js';
import { createRecorder, openEngine, runToEnd, type Transcript, unfinished } from '../support/run-engine.js';

const PERSON = jsonSchemaGrammar(
  {
    type: 'object',
    properties: {
      name: { type: 'string', maxLength: 6 },
      age: { type: 'integer', minimum: 0, maximum: 130 },
      kind: { enum: ['user', 'größe', null] },
    },
    required: ['name', 'age', 'kind'],
  },
  { strict: true },
);
const GRAMMARS = [
  PERSON,
  ebnf('root ::= [a-z]{50,90}'),
  ebnf('root ::= "yes" | "no" | "perhaps"'),
  ebnf('root ::= ("[" root "]")?'),
];

let modelPath: string;
let engine: LoadedEngine;
let text: (tokens: readonly number[]) => string;
let tokenize: (text: string) => Int32Array;
let vocabSize: number;

beforeAll(async () => {
  modelPath = await randomModelPath({ type: 'Q8_0', heads: 4, kvHeads: 2 });
  engine = await openEngine({ modelPath });
  const { vocab } = loadLlama({ device: 'cpu' }).loadModel(modelPath, { vocabOnly: true });
  vocabSize = vocab.size;
  tokenize = (text) => vocab.tokenize(text, { addSpecial: false, parseSpecial: false });
  text = (tokens) => Buffer.concat(tokens.map((token) => vocab.pieceBytes(token, false))).toString();
}, 120_000);

afterAll(() => engine?.dispose());

function ebnf(text: string): GrammarText {
  return { ebnf: text, lengths: [] };
}

function constrained(
  id: string,
  grammar: GrammarText,
  sampling: Partial<SamplingParams> = {},
  rest: Partial<Pick<EngineRequest, 'n'>> = {},
  prompt = pseudoRandomTokens(20, 3, vocabSize),
): EngineRequest {
  const defaults = { temperature: 1, maxTokens: 200, ignoreEos: false, seed: 5 };
  return engineRequest(id, prompt, {
    ...rest,
    grammar: { ...grammar, textTokens: [] },
    sampling: { ...defaults, ...sampling },
  });
}

/** Steps until the requests are over, waiting for grammars that are being compiled. */
async function run(requests: readonly EngineRequest[], loaded = engine): Promise<Map<string, Transcript>> {
  const recorder = createRecorder();
  for (const request of requests) loaded.engine.add(request);
  for (;;) {
    const computed = loaded.engine.step();
    recorder.record(loaded.engine.takeEvents());
    if (computed) continue;
    if (loaded.engine.stats().waitingRequests + loaded.engine.stats().runningSequences === 0) break;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  recorder.record(loaded.engine.takeEvents());
  return recorder.transcripts;
}

describe('a choice with a grammar', () => {
  it('has the form that the grammar says, and ends when that is complete', async () => {
    const requests = Array.from({ length: 12 }, (_, seed) => constrained(`p${seed}`, PERSON, { seed }));
    const transcripts = await run(requests);
    expect(transcripts.size).toBe(12);
    for (const { tokens, reason } of transcripts.values()) {
      expect(reason).toBe('stop');
      const answer = JSON.parse(text(tokens));
      expect(Object.keys(answer)).toEqual(['name', 'age', 'kind']);
      expect(['user', 'größe', null]).toContain(answer.kind);
      expect(answer.age).toBeGreaterThanOrEqual(0);
      expect(answer.age).toBeLessThanOrEqual(130);
    }
  });

  it('ends in spite of ignoreEos and minTokens, which have nothing else left to take', async () => {
    const transcripts = await run([constrained('a', ebnf('root ::= "yes"'), { ignoreEos: true, minTokens: 50 })]);
    expect(text(transcripts.get('a/0')!.tokens)).toBe('yes');
    expect(transcripts.get('a/0')!.reason).toBe('stop');
  });

  it('goes on to minTokens where the grammar can', async () => {
    const transcripts = await run([constrained('a', ebnf('root ::= "x"*'), { minTokens: 9, temperature: 0 })]);
    expect(transcripts.get('a/0')!.tokens.length).toBeGreaterThanOrEqual(9);
    expect(text(transcripts.get('a/0')!.tokens)).toMatch(/^x+$/);
  });

  it('respects bans by bias, penalties, and log-probabilities are those of all tokens', async () => {
    const free = await run([{ ...constrained('f', PERSON, { logprobs: 3, temperature: 0 }), grammar: null }]);
    const bound = await run([constrained('b', PERSON, { logprobs: 3, temperature: 0, repetitionPenalty: 1.3 })]);
    expect(JSON.parse(text(bound.get('b/0')!.tokens)).age).toBeLessThanOrEqual(130);
    expect(bound.get('b/0')!.logprobs[0]!.topTokens).toEqual(free.get('f/0')!.logprobs[0]!.topTokens);
    expect(bound.get('b/0')!.logprobs[0]!.topLogprobs).toEqual(free.get('f/0')!.logprobs[0]!.topLogprobs);
  });

  it('is rejected when there is no such grammar', async () => {
    engine.engine.add(constrained('bad', ebnf('root ::= missing')));
    await expect.poll(() => engine.engine.takeEvents()).toMatchObject([{ type: 'rejected', requestId: 'bad' }]);
  });

  it('ends with an error when no token can follow', async () => {
    const recorder = createRecorder();
    engine.engine.add(constrained('dead', ebnf('root ::= "a" root'.replace('"a" ', ''))));
    await expect
      .poll(() => {
        engine.engine.step();
        recorder.record(engine.engine.takeEvents());
        return recorder.transcripts.get('dead/0')?.reason;
      })
      .toBe('error');
  });

  it('can be aborted while its grammar is compiled', async () => {
    engine.engine.add(constrained('gone', ebnf(`root ::= "${'q'.repeat(50)}"`), {}, { n: 2 }));
    engine.engine.abort('gone');
    expect(engine.engine.takeEvents()).toEqual([
      { type: 'finished', requestId: 'gone', choice: 0, reason: 'abort' },
      { type: 'finished', requestId: 'gone', choice: 1, reason: 'abort' },
    ]);
    await run([constrained('next', ebnf('root ::= "no"'))]);
    expect(engine.engine.hasWork()).toBe(false);
  });
});

describe('choices with grammars in a crowd', () => {
  const samplings: Partial<SamplingParams>[] = [
    { temperature: 1, seed: 1 },
    { temperature: 0 },
    { temperature: 1.4, topP: 0.9, seed: 2, frequencyPenalty: 0.3 },
  ];
  const crowd = (): EngineRequest[] =>
    Array.from({ length: 18 }, (_, i) =>
      i % 6 === 5
        ? engineRequest(`r${i}`, pseudoRandomTokens(30 + i, i % 4, vocabSize), { sampling: { maxTokens: 24 } })
        : constrained(
            `r${i}`,
            GRAMMARS[i % GRAMMARS.length]!,
            { ...samplings[i % samplings.length], maxTokens: 100 },
            { n: 1 + (i % 3) },
            pseudoRandomTokens(10 + 9 * i, i % 4, vocabSize),
          ),
    );

  it('say the same when another engine takes over', async () => {
    const requests = crowd();
    const undisturbed = await run(requests);
    const { transcripts, record } = createRecorder();
    for (const request of requests) engine.engine.add(request);
    while (transcripts.size < 20 || engine.engine.stats().generatedTokens % 5 !== 0) {
      if (!engine.engine.step()) await new Promise((resolve) => setTimeout(resolve, 1));
      record(engine.engine.takeEvents());
    }
    for (const { id } of requests) engine.engine.abort(id);
    while (engine.engine.hasWork()) engine.engine.step();
    engine.engine.takeEvents();
    const others = await run(unfinished(requests, transcripts));
    for (const [key, { tokens, logprobs, reason }] of others) {
      const before = transcripts.get(key) ?? { tokens: [], logprobs: [] };
      transcripts.set(key, {
        tokens: [...before.tokens, ...tokens],
        logprobs: [...before.logprobs, ...logprobs],
        reason,
      });
    }
    expect(transcripts).toEqual(undisturbed);
  });

  it('say what each says alone, also when they are preempted', async () => {
    const alone = new Map<string, Transcript>();
    for (const request of crowd()) for (const [key, transcript] of await run([request])) alone.set(key, transcript);
    const kvCacheBytes = Math.ceil((engine.info.kvCacheBytes / engine.info.numBlocks) * 16);
    const tiny = await openEngine({ modelPath, kvCacheBytes, maxNumBatchedTokens: 64 });
    try {
      expect(await run(crowd(), tiny)).toEqual(alone);
      expect(tiny.engine.stats().preemptions).toBeGreaterThan(0);
    } finally {
      tiny.dispose();
    }
    expect(await run(crowd())).toEqual(alone);
  });

  it('leave choices without a grammar alone', async () => {
    const request = engineRequest('free', pseudoRandomTokens(30, 2, vocabSize), { sampling: { maxTokens: 24 } });
    const before = runToEnd(engine, [request]).transcripts.get('free/0');
    expect((await run([...crowd(), request])).get('free/0')).toEqual(before);
  });
});

const SCHEMAS = 500;
const SEED = Number(process.env.QUIRE_SEED ?? 1);

it(`a model's answers to ${SCHEMAS} random schemas are valid (QUIRE_SEED=${SEED})`, async () => {
  const schemas = fc.sample(randomSchema(), { numRuns: SCHEMAS, seed: SEED });
  // A random model would write strings and lists for a long time.
  const closing = ['"', '}', ']'].map((text) => [tokenize(text)[0]!, 4] as const);
  const requests = schemas.map((schema, seed) =>
    constrained(`s${seed}`, jsonSchemaGrammar(schema, { strict: true }), { seed, logitBias: closing, maxTokens: 300 }),
  );
  const transcripts = await run(requests);
  let finished = 0;
  for (const [seed, schema] of schemas.entries()) {
    const { tokens, reason } = transcripts.get(`s${seed}/0`)!;
    expect(['stop', 'length']).toContain(reason);
    if (reason !== 'stop') continue;
    finished++;
    const answer = text(tokens);
    expect(jsonValidator(schema)(answer), `${JSON.stringify(schema)}\n${answer}`).toBeUndefined();
  }
  expect(finished).toBeGreaterThan(SCHEMAS * 0.7);
}, 300_000);
