import { createRandom, type Random } from '../random.js';

/** One completion to ask for. Prompts are token ids, so that their length is exact with every tokenizer. */
export interface BenchRequest {
  promptTokenIds: number[];
  /** Exactly this many tokens are generated: end-of-generation tokens are ignored. */
  maxTokens: number;
  /** What the answer has to look like. */
  jsonSchema?: object;
}

/** A fixed mix of requests. `concurrency` is how many of them run at once in a closed loop. */
export interface Workload {
  id: string;
  title: string;
  requests: number;
  concurrency: number;
  /** Prompt and output tokens of the longest request. */
  longestRequest: number;
  /** Makes the `count` requests; prompts are drawn from `random` alone. */
  generate(count: number, random: Random): BenchRequest[];
}

/**
 * Ids that stand for ordinary text in every vocabulary of tens of thousands of tokens: the lowest are bytes and special
 * tokens, and the smallest vocabulary in use (Llama 2) ends at 32,000.
 */
const FIRST_TOKEN = 1_000;
const LAST_TOKEN = 30_000;

function promptOf(length: number, random: Random): number[] {
  return Array.from({ length }, () => random.integer(FIRST_TOKEN, LAST_TOKEN));
}

/** Every request has a prompt of its own of the same length. */
function uniform(promptTokens: number, maxTokens: number): Workload['generate'] {
  return (count, random) =>
    Array.from({ length: count }, () => ({ promptTokenIds: promptOf(promptTokens, random), maxTokens }));
}

/** A long prefix that all requests share, such as a system prompt, then a few tokens of their own. */
function sharedPrefix(prefixTokens: number, ownTokens: number, maxTokens: number): Workload['generate'] {
  return (count, random) => {
    const prefix = promptOf(prefixTokens, random);
    return Array.from({ length: count }, () => ({
      promptTokenIds: [...prefix, ...promptOf(ownTokens, random)],
      maxTokens,
    }));
  };
}

/** Short chats among which every `period`-th brings a long document. */
function mixedLengths(short: number, long: number, period: number, maxTokens: number): Workload['generate'] {
  return (count, random) =>
    Array.from({ length: count }, (_, i) => ({
      promptTokenIds: promptOf((i + 1) % period === 0 ? long : short, random),
      maxTokens,
    }));
}

export const WORKLOADS: readonly Workload[] = [
  {
    id: 'W1',
    title: 'many users: 256-token prompts of their own, 64 tokens out',
    requests: 64,
    concurrency: 32,
    longestRequest: 256 + 64,
    generate: uniform(256, 64),
  },
  {
    id: 'W2',
    title: 'shared system prompt: 2,000 tokens shared and 50 of their own, 32 tokens out',
    requests: 32,
    concurrency: 32,
    longestRequest: 2_050 + 32,
    generate: sharedPrefix(2_000, 50, 32),
  },
  {
    id: 'W3',
    title: 'long prompts among chats: 64 tokens in (every 8th request: 3,000), 128 tokens out',
    requests: 48,
    concurrency: 16,
    longestRequest: 3_000 + 128,
    generate: mixedLengths(64, 3_000, 8, 128),
  },
  {
    id: 'W4a',
    title: 'one user, short prompts: 64 tokens in, 128 tokens out',
    requests: 4,
    concurrency: 1,
    longestRequest: 64 + 128,
    generate: uniform(64, 128),
  },
  {
    id: 'W4b',
    title: 'one user, long prompts: 4,000 tokens in, 16 tokens out',
    requests: 2,
    concurrency: 1,
    longestRequest: 4_000 + 16,
    generate: uniform(4_000, 16),
  },
];

/** A list that takes more tokens than there are, of strings, numbers, choices and nested objects. */
const RECORDS = {
  type: 'array',
  minItems: 20,
  items: {
    type: 'object',
    properties: {
      name: { type: 'string' },
      kind: { enum: ['user', 'group', 'guest'] },
      age: { type: 'integer', minimum: 0, maximum: 130 },
      address: { type: 'object', properties: { street: { type: 'string' } }, required: ['street'] },
    },
    required: ['name', 'kind', 'age', 'address'],
  },
};

const short = uniform(32, 64);

/** What it costs that answers have a form. */
export const FORMS: readonly Workload[] = [
  {
    id: 'F0',
    title: 'any text: 32 tokens in, 64 tokens out',
    requests: 32,
    concurrency: 16,
    longestRequest: 32 + 64,
    generate: short,
  },
  {
    id: 'F1',
    title: 'the same, but JSON of a schema',
    requests: 32,
    concurrency: 16,
    longestRequest: 32 + 64,
    generate: (count, random) => short(count, random).map((request) => ({ ...request, jsonSchema: RECORDS })),
  },
];

const ALL: readonly Workload[] = [...WORKLOADS, ...FORMS];

/**
 * Workloads by id in the order of {@link WORKLOADS}, then {@link FORMS}; `W4` means both of its parts.
 *
 * @throws RangeError naming the ids that exist.
 */
export function selectWorkloads(ids: readonly string[]): Workload[] {
  const matches = (workload: Workload, id: string) => workload.id.toLowerCase().startsWith(id.toLowerCase());
  const unknown = ids.find((id) => id === '' || !ALL.some((workload) => matches(workload, id)));
  if (unknown !== undefined) {
    const known = ALL.map((workload) => workload.id).join(', ');
    throw new RangeError(`no workload is called "${unknown}"; there are ${known}`);
  }
  return ALL.filter((workload) => ids.some((id) => matches(workload, id)));
}

/**
 * The requests of one round. Rounds differ in every prompt, so that no server finds an earlier round in its cache; the
 * same round is the same for every server.
 */
export function requestsOf(workload: Workload, seed: number, round: number): BenchRequest[] {
  return workload.generate(workload.requests, createRandom(`${seed}/${workload.id}/${round}`));
}

/** The same mix with about a quarter of the requests, for a first look in a few minutes. */
export function quick(workload: Workload): Workload {
  const requests = Math.ceil(workload.requests / 4);
  return { ...workload, requests, concurrency: Math.min(workload.concurrency, requests) };
}
