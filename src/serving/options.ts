import { z } from 'zod';
import { MAX_SEQUENCES } from '../engine/protocol.js';
import { DEFAULT_MODEL } from './models/index.js';

const MODEL_REFERENCE = 'a GGUF file, hf:user/repo[:quant], an https URL, or a name of the catalog';
const MEMORY_SIZE = 'a number of bytes, or a size such as 512MiB or 2GiB';
const TARGET_ITL = 'auto, or a whole number from 0 to 60000';
const REQUANTIZE = 'auto, off, or a weight type such as Q8_0';

/**
 * Everything that can be set about serving a model: the library takes these names, the command line the same names in
 * kebab-case, mostly vLLM's. Numbers may be given as strings, as a command line does.
 */
export const servingOptions = z
  .strictObject({
    model: z
      .string({ error: MODEL_REFERENCE })
      .min(1, { error: MODEL_REFERENCE })
      .default(DEFAULT_MODEL)
      .describe(`Model to serve: ${MODEL_REFERENCE}`),
    servedModelName: z
      .array(z.string().min(1, { error: 'a list of names' }), { error: 'a list of names' })
      .default([])
      .describe('Names clients call the model by; the first one signs answers (default: the name of the model)'),
    device: z
      .enum(['auto', 'cpu', 'cuda', 'vulkan', 'metal'], { error: 'one of auto, cpu, cuda, vulkan, metal' })
      .default('auto')
      .describe('Where the model runs'),
    threads: wholeNumber(0, 1024).default(0).describe('CPU threads of the engine (0: one per core)'),
    maxModelLen: wholeNumber(0, 2 ** 24)
      .default(0)
      .describe('Longest prompt plus answer, in tokens (0: what the model was trained on and the KV cache holds)'),
    maxNumSeqs: wholeNumber(1, MAX_SEQUENCES).default(64).describe('Most sequences that run at the same time'),
    maxQueuedRequests: wholeNumber(0, 2 ** 24)
      .default(1024)
      .describe('Most requests that wait for their first step; more are refused (0: no limit)'),
    maxQueuedTokens: wholeNumber(0, 2 ** 40)
      .default(0)
      .describe('Most tokens, of prompts and answers, of requests that wait (0: no limit)'),
    maxQueueTime: wholeNumber(0, 86_400)
      .default(0)
      .describe('Seconds after which a request that still waits is refused (0: no limit)'),
    requestTimeout: wholeNumber(0, 86_400)
      .default(0)
      .describe('Seconds after which an answer that is not complete is ended with an error (0: no limit)'),
    maxNumBatchedTokens: wholeNumber(1, 2 ** 16)
      .default(512)
      .describe('Most tokens computed in one step'),
    blockSize: z
      .preprocess(numberFromString, z.literal([16, 32, 64], { error: 'one of 16, 32, 64' }))
      .default(16)
      .describe('Tokens per block of the KV cache'),
    kvCacheMemory: z
      .union([z.number(), z.string()], { error: MEMORY_SIZE })
      .transform((value, context) => {
        const bytes = parseBytes(value);
        if (bytes === undefined) context.addIssue(MEMORY_SIZE);
        return bytes ?? z.NEVER;
      })
      .default(0)
      .describe('Memory for the KV cache, e.g. 2GiB (0: chosen from the model and free memory)'),
    kvCacheDtype: z
      .enum(['auto', 'f16', 'i16', 'q8_0'], { error: 'one of auto, f16, i16, q8_0' })
      .default('auto')
      .describe('How keys and values are stored (auto: i16 in pages, f16 in cells; q8_0 takes half the memory)'),
    kvBackend: z
      .enum(['auto', 'pages', 'cells'], { error: 'one of auto, pages, cells' })
      .default('auto')
      .describe("Where the KV cache lives: in pages, or in llama.cpp's own cells (auto: pages where they can)"),
    loadMode: z
      .enum(['auto', 'none', 'mmap'], { error: 'one of auto, none, mmap' })
      .default('auto')
      .describe('How weights are loaded: read into memory or memory-mapped (auto: read, unless they are large)'),
    targetItl: z
      .union([z.literal('auto'), wholeNumber(0, 60_000, TARGET_ITL)], { error: TARGET_ITL })
      .default('auto')
      .describe(
        'Longest a step may take when prompts share it with running answers, in ms ' +
          '(0: no limit; auto: 225, or 4 × a step of answers alone)',
      ),
    policy: z
      .enum(['continuous', 'dynamic', 'static'], { error: 'one of continuous, dynamic, static' })
      .default('continuous')
      .describe('Batching policy; the last two are for comparison'),
    batchWindow: wholeNumber(0, 60_000)
      .default(100)
      .describe('How long policy dynamic waits for a batch to fill, in milliseconds'),
    enablePrefixCaching: z
      .boolean({ error: 'true or false' })
      .default(true)
      .describe('Compute a prefix that prompts share only once'),
    keepKvCache: z
      .boolean({ error: 'true or false' })
      .default(true)
      .describe('Keep the KV cache for the engine that takes the place of one that died'),
    batchInvariant: z
      .enum(['auto', 'on', 'off'], { error: 'one of auto, on, off' })
      .default('auto')
      .describe('Bit-identical answers alone and in a crowd: where it is free, always, or never'),
    requantize: z
      .string({ error: REQUANTIZE })
      .regex(/^[A-Za-z0-9_]+$/, { error: REQUANTIZE })
      .default('auto')
      .describe(`Re-encode weights that this CPU has no fast path for: ${REQUANTIZE}`),
    engineTimeout: wholeNumber(5, 86_400)
      .default(300)
      .describe(
        'Seconds after which an engine that says nothing is taken for dead and replaced; a step may take as long',
      ),
    checkEveryStep: z
      .boolean({ error: 'true or false' })
      .default(false)
      .describe('Check the books of the block allocator after every step, not only when idle'),
  })
  .refine((options) => options.maxNumBatchedTokens >= options.maxNumSeqs, {
    path: ['maxNumBatchedTokens'],
    error: 'at least --max-num-seqs: every running sequence computes a token per step',
  });

/** As a caller gives them. */
export type ServingOptionsInput = z.input<typeof servingOptions>;

/** Checked, with defaults; `kvCacheMemory` in bytes. */
export type ServingOptions = z.output<typeof servingOptions>;

/** An option has a value that is not allowed. The message names each flag and what it allows, one per line. */
export class ServingOptionsError extends Error {
  constructor(message: string) {
    super(message);
    this.name = new.target.name;
  }
}

/** @throws ServingOptionsError */
export function parseServingOptions(input: ServingOptionsInput): ServingOptions {
  const result = servingOptions.safeParse(input);
  if (result.success) return result.data;
  throw new ServingOptionsError(result.error.issues.map((issue) => describeIssue(issue, input)).join('\n'));
}

/** The command line's spelling of an option, `maxNumSeqs` → `--max-num-seqs`. */
export function flagOf(option: string): string {
  return `--${option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

function describeIssue(issue: z.core.$ZodIssue, input: ServingOptionsInput): string {
  if (issue.code === 'unrecognized_keys') return `Unknown option: ${issue.keys.map(flagOf).join(', ')}.`;
  const option = String(issue.path[0]);
  const value = input[option as keyof ServingOptionsInput];
  return `${flagOf(option)} must be ${issue.message}, not ${JSON.stringify(value)}.`;
}

function wholeNumber(min: number, max: number, error = `a whole number from ${min} to ${max}`) {
  return z.preprocess(numberFromString, z.int({ error }).min(min, { error }).max(max, { error }));
}

function numberFromString(value: unknown): unknown {
  return typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
}

/** Units as powers of 1024 with an `i`, as powers of 1000 without. */
function parseBytes(value: number | string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*(?:([KMGT])(i?)B?|B)?$/i.exec(String(value).trim());
  if (match === null) return undefined;
  const [, amount, unit = '', binary = ''] = match;
  const power = ' KMGT'.indexOf(unit === '' ? ' ' : unit.toUpperCase());
  const bytes = Math.floor(Number(amount) * (binary === '' ? 1000 : 1024) ** power);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}
