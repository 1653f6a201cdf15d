import { type EngineConfig, MAX_SEQUENCES } from './protocol.js';

/** What sizes are chosen from: facts of the model and of the machine. */
export interface SizeFacts {
  /** Tokens the model was trained for. */
  trainContextLength: number;
  /** KV-cache bytes of one token over all layers, K and V. */
  bytesPerToken: number;
  /** Memory that could be used, in bytes, with the model already loaded. */
  availableMemory: number;
  /** Cores this process may run on. */
  cores: number;
  /** Tokens that the KV cache gets at most, unless the user says how much memory; default: as many as are of use. */
  defaultTokens?: number;
}

export interface EngineSizes {
  threads: number;
  maxModelLen: number;
  maxNumSeqs: number;
  maxNumBatchedTokens: number;
  blockSize: number;
  numBlocks: number;
  kvCacheBytes: number;
}

/** The sizes asked for cannot work. `hint` says which flag to change. */
export class SizeError extends Error {
  override readonly name = 'SizeError';
  readonly hint: string;

  constructor(message: string, hint: string) {
    super(message);
    this.hint = hint;
  }
}

/** Share of the free memory that the KV cache takes when nobody says how much. It is only committed as it fills. */
const MEMORY_SHARE = 0.25;

/**
 * Turns a configuration with zeros for "choose" into sizes. The KV cache gets room for every slot at full length, but
 * at most {@link MEMORY_SHARE} of the free memory; the model length is what it was trained for, if that fits.
 *
 * @throws SizeError when something asked for cannot be had, with the numbers
 */
export function chooseSizes(config: EngineConfig, facts: SizeFacts): EngineSizes {
  const { blockSize, maxNumSeqs } = config;
  if (maxNumSeqs > MAX_SEQUENCES) {
    throw new SizeError(`${maxNumSeqs} sequences at once are too many`, `use --max-num-seqs ${MAX_SEQUENCES} or less`);
  }
  if (config.maxNumBatchedTokens < maxNumSeqs) {
    throw new SizeError(
      `a step of ${config.maxNumBatchedTokens} tokens cannot hold ${maxNumSeqs} sequences`,
      `use --max-num-batched-tokens ${maxNumSeqs} or more, or fewer --max-num-seqs`,
    );
  }
  if (config.maxModelLen > facts.trainContextLength) {
    throw new SizeError(
      `a model length of ${config.maxModelLen} tokens is more than the model was trained for (${facts.trainContextLength})`,
      `use --max-model-len ${facts.trainContextLength} or less`,
    );
  }
  const wantedLength = config.maxModelLen || facts.trainContextLength;
  const blockBytes = blockSize * facts.bytesPerToken;
  const mostTokens = Math.max(facts.defaultTokens ?? Infinity, config.maxModelLen);
  const wantedTokens = Math.min(Math.ceil(wantedLength / blockSize) * blockSize * maxNumSeqs, mostTokens);
  const wantedBlocks = Math.ceil(wantedTokens / blockSize);
  const budget = config.kvCacheBytes || Math.floor(facts.availableMemory * MEMORY_SHARE);
  const affordableBlocks = Math.floor(budget / blockBytes);
  const numBlocks = config.kvCacheBytes ? affordableBlocks : Math.min(wantedBlocks, affordableBlocks);
  if (numBlocks < 2) {
    throw new SizeError(
      `a KV cache of ${budget} bytes holds less than two blocks of ${blockBytes} bytes`,
      `use --kv-cache-memory ${2 * blockBytes} or more`,
    );
  }
  const capacity = numBlocks * blockSize;
  if (config.maxModelLen > capacity) {
    throw new SizeError(
      `one sequence of ${config.maxModelLen} tokens does not fit a KV cache of ${capacity} tokens`,
      `use --max-model-len ${capacity} or less, or --kv-cache-memory ${config.maxModelLen * facts.bytesPerToken} or more`,
    );
  }
  return {
    threads: config.threads || facts.cores,
    maxModelLen: Math.min(wantedLength, capacity),
    maxNumSeqs,
    maxNumBatchedTokens: config.maxNumBatchedTokens,
    blockSize,
    numBlocks,
    kvCacheBytes: numBlocks * blockBytes,
  };
}
