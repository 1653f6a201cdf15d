import { describe, expect, it } from 'vitest';
import { toEngineRequest } from '../../src/serving/engine-request.js';
import { superviseEngine } from '../../src/serving/engines/index.js';
import { RequestError, RequestFailedError } from '../../src/serving/errors.js';
import { startGeneration } from '../../src/serving/generation.js';
import type { OutputFormat } from '../../src/serving/text/output-format.js';
import { createTokenizer } from '../../src/serving/text/tokenizer.js';
import type { Generation, GenerationEvent, GenerationRequest } from '../../src/serving/types.js';
import { engineConfig } from '../support/engine-requests.js';
import { createFakeEngine, type FakeEngine, type FakeEngineOptions } from '../support/fake-engine.js';
import { createFakeVocabulary, EOS, IM_END } from '../support/fake-vocabulary.js';

const tokenizer = createTokenizer(createFakeVocabulary());

/** An engine that continues every prompt with this text, and ends it with EOS. */
function saying(text: string, options: FakeEngineOptions = {}): FakeEngine {
  const tokens = [...Buffer.from(text), EOS];
  return createFakeEngine({ token: (_, __, position) => tokens[position]!, pace: 'manual', ...options });
}

function start(engine: FakeEngine, request: Partial<GenerationRequest> = {}, signal?: AbortSignal): Generation {
  const full: GenerationRequest = { id: 'r', prompt: { kind: 'text', text: 'Hi' }, sampling: {}, ...request };
  const served = { id: 'fake', created: 0, maxModelLen: engine.info.maxModelLen, info: engine.info };
  const engineRequest = toEngineRequest(full, tokenizer.encode('Hi'), engine.info);
  return startGeneration({ served, engine, tokenizer }, full, engineRequest, '', signal);
}

function take(engine: FakeEngine, steps: number): void {
  for (let step = 0; step < steps; step += 1) engine.step();
}

async function drain(generation: Generation): Promise<GenerationEvent[]> {
  const events: GenerationEvent[] = [];
  for await (const event of generation.events) events.push(event);
  return events;
}

/** Lets the engine speak until the generation is over. */
async function run(engine: FakeEngine, request: Partial<GenerationRequest> = {}) {
  const generation = start(engine, request);
  take(engine, 100);
  const events = await drain(generation);
  const texts = events.map((event) => (event.type === 'delta' ? event.text : ''));
  return { generation, events, text: texts.join(''), finish: events.at(-1) };
}

describe('a generation', () => {
  it('is text until the end token, which is counted but has no text', async () => {
    const { text, finish, generation } = await run(saying('Hello'));
    expect(text).toBe('Hello');
    expect(finish).toEqual({ type: 'finish', choice: 0, reason: 'stop', stopReason: null });
    expect(generation.usage()).toEqual({ promptTokens: 2, cachedTokens: 0, completionTokens: 6, reasoningTokens: 0 });
  });

  it('ends with reason length after maxTokens', async () => {
    const { text, finish, generation } = await run(saying('Hello'), { sampling: { maxTokens: 3 } });
    expect(text).toBe('Hel');
    expect(finish).toMatchObject({ reason: 'length', stopReason: null });
    expect(generation.usage().completionTokens).toBe(3);
  });

  it('ends before a stop string, which is then no longer generated', async () => {
    const engine = saying('one two three');
    const generation = start(engine, { stop: [' three', ' tw'] });
    take(engine, 6);
    expect(engine.stats().runningSequences).toBe(0);
    expect(await drain(generation)).toEqual([
      { type: 'delta', choice: 0, text: 'one', reasoning: '', toolCalls: [], tokens: [] },
      { type: 'finish', choice: 0, reason: 'stop', stopReason: ' tw' },
    ]);
    expect(generation.usage().completionTokens).toBe(6);
  });

  it('may leave the stop string in the text', async () => {
    const { text } = await run(saying('one two'), { stop: ['e t'], includeStopInOutput: true });
    expect(text).toBe('one t');
  });

  it('gives out what looked like a stop string when it ends', async () => {
    const { text, finish } = await run(saying('abc'), { stop: ['cd'] });
    expect(text).toBe('abc');
    expect(finish).toMatchObject({ stopReason: null });
  });

  it('does not look for stop strings in its first minTokens tokens', async () => {
    const { text } = await run(saying('a.b.c.'), { stop: ['.'], sampling: { minTokens: 2 } });
    expect(text).toBe('a.b');
  });

  it('ends with a stop token id, named and without text', async () => {
    const { text, finish } = await run(saying('ab!c'), { sampling: { stopTokenIds: [33] } });
    expect(text).toBe('ab');
    expect(finish).toMatchObject({ reason: 'stop', stopReason: 33 });
  });

  it('shows the token that ended it when that is asked for', async () => {
    const request = { includeStopInOutput: true, sampling: { stopTokenIds: [33] } };
    expect((await run(saying('ab!c'), request)).text).toBe('ab!');
    expect((await run(saying('ab'), { includeStopInOutput: true, keepSpecialTokens: true })).text).toBe('ab</s>');
  });

  it('goes on after end tokens with ignoreEos, and names one that was made a stop token', async () => {
    const engine = () => createFakeEngine({ token: (_, __, at) => [97, EOS, 98, IM_END][at]!, pace: 'manual' });
    const on = { ignoreEos: true, maxTokens: 4 };
    expect((await run(engine(), { sampling: on })).text).toBe('ab');
    const { text, finish } = await run(engine(), { sampling: { ...on, stopTokenIds: [IM_END] } });
    expect(text).toBe('ab');
    expect(finish).toMatchObject({ reason: 'stop', stopReason: IM_END });
  });

  it('holds back incomplete characters, and gives them out as U+FFFD at the end', async () => {
    const bytes = [0xc3, 0xa9, 0xe2, 0x82];
    const engine = createFakeEngine({ token: (_, __, at) => bytes[at]!, pace: 'manual' });
    const { text, finish } = await run(engine, { sampling: { maxTokens: 4 } });
    expect(text).toBe('é\ufffd');
    expect(finish).toMatchObject({ reason: 'length' });
  });

  it('renders special tokens only when asked to', async () => {
    const engine = () => createFakeEngine({ token: (_, __, at) => [97, 258, 98, EOS][at]!, pace: 'manual' });
    expect((await run(engine())).text).toBe('ab');
    expect((await run(engine(), { keepSpecialTokens: true })).text).toBe('a<|im_start|>b');
  });
});

describe('the reasoning of a generation', () => {
  /** Everything up to `|` is reasoning. Nothing is said before the next character has come. */
  const format: OutputFormat = {
    name: 'bar',
    markupTokens: [],
    reasoning: { open: '<think>', close: '</think>' },
    toolCallTag: () => ({}),
    formTag: (form) => form,
    createParser() {
      let held = '';
      let isReasoning = true;
      const say = (text: string) => ({
        text: isReasoning ? '' : text,
        reasoning: isReasoning ? text : '',
        toolCalls: [],
      });
      return {
        push(text) {
          const said = say(held.replace('|', ''));
          if (held === '|') isReasoning = false;
          held = text;
          return said;
        },
        finish: () => say(held),
      };
    },
  };

  it('is counted in tokens, those that were held back included', async () => {
    const engine = saying('hmm|yes');
    const request: GenerationRequest = { id: 'r', prompt: { kind: 'chat', messages: [] }, sampling: {} };
    const served = { id: 'fake', created: 0, maxModelLen: engine.info.maxModelLen, info: engine.info };
    const engineRequest = toEngineRequest(request, tokenizer.encode('Hi'), engine.info);
    const generation = startGeneration({ served, engine, tokenizer, format }, request, engineRequest, '');
    take(engine, 100);
    expect((await drain(generation))[0]).toMatchObject({ reasoning: 'hmm', text: 'yes' });
    // The token after which a text is said counts with it: here the bar, which ends the reasoning.
    expect(generation.usage()).toMatchObject({ completionTokens: 8, reasoningTokens: 4 });
  });
});

describe('log-probabilities', () => {
  const sampling = { logprobs: 2 };

  it('are absent unless asked for', async () => {
    const { events } = await run(saying('ab'));
    expect(events).toContainEqual({ type: 'delta', choice: 0, text: 'ab', reasoning: '', toolCalls: [], tokens: [] });
  });

  it('come with text and bytes of the token and of the likeliest ones', async () => {
    const { events } = await run(saying('a'), { sampling });
    expect(events[0]).toMatchObject({
      text: 'a',
      tokens: [
        {
          tokenId: 97,
          token: 'a',
          bytes: [97],
          logprob: -0.5,
          top: [
            { tokenId: 97, token: 'a', bytes: [97], logprob: -0.5 },
            { tokenId: 98, token: 'b', bytes: [98], logprob: -1.5 },
          ],
        },
        { tokenId: EOS, token: '</s>' },
      ],
    });
  });

  it('come when the text of their token is out, and not before', async () => {
    const engine = saying('né.x');
    const generation = start(engine, { sampling, stop: ['é!'] });
    const events = generation.events[Symbol.asyncIterator]();
    const outAfterNextStep = async () => {
      engine.step();
      const { value } = await events.next();
      return value.type === 'delta'
        ? [value.text, value.tokens.map((token: { tokenId: number }) => token.tokenId)]
        : [];
    };
    expect(await outAfterNextStep()).toEqual(['n', [110]]);
    // The two bytes of é are held: first as half a character, then as half a stop string.
    take(engine, 2);
    expect(await outAfterNextStep()).toEqual(['é.', [0xc3, 0xa9, 46]]);
    await events.return?.();
  });

  it.each([
    ['to an end token', {}],
    ['to its length', { sampling: { ...sampling, maxTokens: 3 } }],
    ['to a stop string', { stop: ['c'] }],
    ['to a stop token', { sampling: { ...sampling, stopTokenIds: [99] } }],
  ])('are as many as the tokens counted when a generation came %s', async (_, request) => {
    const { events, generation } = await run(saying('abcde'), { sampling, ...request });
    const tokens = events.flatMap((event) => (event.type === 'delta' ? event.tokens : []));
    expect(tokens).toHaveLength(generation.usage().completionTokens);
  });
});

describe('log-probabilities of the prompt', () => {
  it('are absent unless asked for', async () => {
    const { generation } = await run(saying('a'));
    expect(generation.promptLogprobs()).toBeUndefined();
  });

  it('are there of all its tokens but the first when the answer begins', async () => {
    const engine = saying('a');
    const generation = start(engine, { promptLogprobs: 1 });
    expect(generation.promptLogprobs()).toBeUndefined();
    take(engine, 1);
    const i = { tokenId: 105, token: 'i', bytes: [105], logprob: -0.5 };
    expect(generation.promptLogprobs()).toEqual([null, { ...i, rank: 1, top: [i] }]);
    generation.abort();
  });

  it('cannot be asked for with a number of alternatives that is none', () => {
    expect(() => start(saying('a'), { promptLogprobs: -1 })).toThrow(
      'prompt_logprobs must be a whole number of at least 0',
    );
  });
});

describe('choices', () => {
  it('have text and an end of their own', async () => {
    const { events, generation } = await run(createFakeEngine({ pace: 'manual' }), {
      n: 2,
      stop: ['c'],
      sampling: { maxTokens: 4 },
    });
    expect(events).toEqual([
      { type: 'delta', choice: 0, text: 'ab', reasoning: '', toolCalls: [], tokens: [] },
      { type: 'finish', choice: 0, reason: 'stop', stopReason: 'c' },
      { type: 'delta', choice: 1, text: 'b', reasoning: '', toolCalls: [], tokens: [] },
      { type: 'finish', choice: 1, reason: 'stop', stopReason: 'c' },
    ]);
    expect(generation.usage()).toEqual({ promptTokens: 2, cachedTokens: 0, completionTokens: 5, reasoningTokens: 0 });
  });

  it('go on in the engine when another one has met its stop string', async () => {
    const engine = createFakeEngine({ pace: 'manual' });
    const generation = start(engine, { n: 2, stop: ['bc'] });
    take(engine, 2);
    expect(engine.stats().runningSequences).toBe(1);
    take(engine, 1);
    expect(engine.stats().runningSequences).toBe(0);
    expect(await drain(generation)).toHaveLength(3);
  });
});

describe('the events of a generation', () => {
  it('are merged while nobody reads', async () => {
    const engine = saying('abcdef');
    const generation = start(engine);
    const events = generation.events[Symbol.asyncIterator]();
    take(engine, 3);
    expect(await events.next()).toMatchObject({ value: { text: 'abc' } });
    take(engine, 2);
    expect(await events.next()).toMatchObject({ value: { text: 'de' } });
    take(engine, 2);
    expect(await events.next()).toMatchObject({ value: { text: 'f' } });
    expect(await events.next()).toMatchObject({ value: { type: 'finish' } });
    expect(await events.next()).toEqual({ done: true, value: undefined });
  });

  it('come to a reader that waits, one delta per step', async () => {
    const engine = saying('ab');
    const events = start(engine).events[Symbol.asyncIterator]();
    const first = events.next();
    engine.step();
    expect(await first).toMatchObject({ value: { text: 'a' } });
    const second = events.next();
    engine.step();
    expect(await second).toMatchObject({ value: { text: 'b' } });
  });

  it('can be iterated once', async () => {
    const engine = saying('a');
    const generation = start(engine);
    take(engine, 2);
    await drain(generation);
    await expect(drain(generation)).rejects.toThrow('only once');
  });

  it('that are left early abort the generation', async () => {
    const engine = saying('abcdef');
    const generation = start(engine);
    take(engine, 1);
    for await (const event of generation.events) {
      expect(event).toMatchObject({ text: 'a' });
      break;
    }
    expect(engine.stats().runningSequences).toBe(0);
  });

  it('can be left while a reader waits for the next one', async () => {
    const engine = saying('a');
    const events = start(engine).events[Symbol.asyncIterator]();
    const waiting = events.next();
    await events.return?.();
    expect(await waiting).toEqual({ done: true, value: undefined });
    expect(engine.stats().waitingRequests).toBe(0);
  });
});

describe('aborting', () => {
  it('ends every choice at once and drops what still comes', async () => {
    const engine = createFakeEngine({ pace: 'manual' });
    const generation = start(engine, { n: 2 });
    take(engine, 1);
    generation.abort();
    take(engine, 1);
    expect(await drain(generation)).toEqual([
      { type: 'delta', choice: 0, text: 'a', reasoning: '', toolCalls: [], tokens: [] },
      { type: 'finish', choice: 0, reason: 'abort', stopReason: null },
      { type: 'delta', choice: 1, text: 'b', reasoning: '', toolCalls: [], tokens: [] },
      { type: 'finish', choice: 1, reason: 'abort', stopReason: null },
    ]);
    expect(engine.stats()).toMatchObject({ runningSequences: 0, waitingRequests: 0 });
  });

  it('by a signal works while running, while waiting, and before', async () => {
    for (const when of ['before', 'waiting', 'running']) {
      const engine = saying('abc');
      const controller = new AbortController();
      if (when === 'before') controller.abort();
      const generation = start(engine, {}, controller.signal);
      if (when === 'running') take(engine, 1);
      controller.abort();
      expect((await drain(generation)).at(-1)).toMatchObject({ reason: 'abort' });
      expect(engine.stats()).toMatchObject({ runningSequences: 0, waitingRequests: 0 });
    }
  });

  it('by one signal ends any number of generations, which is no reason to warn', async () => {
    const warnings: Error[] = [];
    const note = (warning: Error) => warnings.push(warning);
    process.on('warning', note);
    const engine = saying('abc');
    const controller = new AbortController();
    const generations = Array.from({ length: 20 }, (_, index) => start(engine, { id: `r${index}` }, controller.signal));
    controller.abort();
    for (const generation of generations) {
      expect((await drain(generation)).at(-1)).toMatchObject({ reason: 'abort' });
    }
    // Warnings are emitted on a later turn of the event loop.
    await new Promise(setImmediate);
    process.off('warning', note);
    expect(warnings).toEqual([]);
  });

  it('after the end changes nothing', async () => {
    const engine = saying('a');
    const controller = new AbortController();
    const generation = start(engine, {}, controller.signal);
    take(engine, 2);
    controller.abort();
    generation.abort();
    expect((await drain(generation)).at(-1)).toMatchObject({ reason: 'stop' });
  });
});

describe('an engine', () => {
  it('that dies for good ends its generations with reason error, after the text that came', async () => {
    const engine = saying('abc');
    const supervised = await superviseEngine({
      config: engineConfig(),
      hooks: {},
      startEngine: async () => engine,
      restartDelaysMs: [],
      keepsKVCache: false,
      retryMs: 60_000,
    });
    const generation = start({ ...engine, submit: (request, onEvents) => supervised.submit(request, onEvents) });
    take(engine, 2);
    engine.die({ reason: 'out of memory' });
    expect(await drain(generation)).toEqual([
      { type: 'delta', choice: 0, text: 'ab', reasoning: '', toolCalls: [], tokens: [] },
      { type: 'finish', choice: 0, reason: 'error', stopReason: null },
    ]);
  });

  it('that rejects a request makes its events throw why', async () => {
    const engine = saying('');
    const rejecting: FakeEngine = {
      ...engine,
      submit: (request, onEvents) => onEvents([{ type: 'rejected', requestId: request.id, message: 'It never fits.' }]),
    };
    const reading = drain(start(rejecting));
    await expect(reading).rejects.toThrow(RequestError);
    await expect(reading).rejects.toThrow('It never fits.');
  });

  it('that dies of a request makes its events throw so', async () => {
    const dying: FakeEngine = {
      ...saying(''),
      submit: ({ id }, onEvents) =>
        onEvents(
          [0].map((choice) => ({ type: 'finished', requestId: id, choice, reason: 'error', message: 'Of it.' })),
        ),
    };
    const reading = drain(start(dying));
    await expect(reading).rejects.toThrow(RequestFailedError);
    await expect(reading).rejects.toThrow('Of it.');
  });

  it('refuses a second live request of one id', () => {
    const engine = saying('abc');
    start(engine);
    expect(() => start(engine)).toThrow(RequestError);
  });
});
