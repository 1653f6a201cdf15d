import type { EngineInfo } from '../serving/index.js';
import { formatBytes } from './format.js';

export interface BannerFacts {
  version: string;
  /** Where the server listens, e.g. `http://127.0.0.1:8000`. */
  url: string;
  /** The name clients ask for. */
  modelName: string;
  info: EngineInfo;
  needsApiKey: boolean;
  /** What QUIRE_FAULTS asks for. */
  faults?: string | undefined;
}

const BACKENDS: Record<EngineInfo['kvBackend'], string> = { pages: 'KV pages', cells: "llama.cpp's own KV cells" };

function describeThreads({ threads, lanes }: EngineInfo): string {
  return `${threads} threads${lanes === 1 ? '' : `, in ${lanes} lanes where a step is large`}`;
}

/** What `quire serve` prints when it can take requests: what runs, with which sizes, and a request to paste. */
export function banner({ version, url, modelName, info, needsApiKey, faults }: BannerFacts): string {
  const count = (value: number) => value.toLocaleString('en-US');
  const facts: [string, string][] = [
    ['model', `${modelName} (${info.modelDescription}, ${(info.parameters / 1e6).toFixed(0)} M parameters)`],
    ['weights', `${formatBytes(info.weightBytes)}, ${info.modelPath}`],
    ['context', `${count(info.maxModelLen)} tokens a request`],
    [
      'KV cache',
      `${count(info.numBlocks)} ${info.kvBackend === 'pages' ? 'pages' : 'blocks'} of ${info.blockSize} tokens = ` +
        `${count(info.numBlocks * info.blockSize)} tokens, ${info.kvCacheDtype}, ${formatBytes(info.kvCacheBytes)}`,
    ],
    ['backend', `${BACKENDS[info.kvBackend]}: ${info.kvBackendReason}`],
    ['batch', `up to ${info.maxNumSeqs} sequences and ${count(info.maxNumBatchedTokens)} tokens a step`],
    ['kernel', `attention ${info.kernel}, llama.cpp ${info.cpuBackend}, ${describeThreads(info)}`],
    [
      'answers',
      `${info.batchInvariant ? 'bit-identical alone and in a crowd' : 'may differ in a crowd'}: ` +
        info.batchInvariantReason,
    ],
  ];
  const request = { model: modelName, messages: [{ role: 'user', content: 'What is gravity?' }], stream: true };
  const headers = ['content-type: application/json', ...(needsApiKey ? ['authorization: Bearer YOUR_KEY'] : [])];
  return [
    '',
    `Quire ${version} is ready at ${url}`,
    '',
    ...(faults === undefined ? [] : [`  !! BREAKS ON PURPOSE: QUIRE_FAULTS=${faults}`, '']),
    ...facts.map(([label, text]) => `  ${label.padEnd(10)}${text}`),
    '',
    `  curl -N ${url}/v1/chat/completions ${headers.map((header) => `-H '${header}'`).join(' ')} \\`,
    `    -d '${JSON.stringify(request).replaceAll("'", "'\\''")}'`,
    '',
    '',
  ].join('\n');
}
