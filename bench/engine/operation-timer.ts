import koffi from 'koffi';
import type { EvalCallback } from './caches.js';

/** What a step of llama.cpp's graph is for; attention includes writing keys and values to where it reads them. */
export const OPERATIONS = ['matmul', 'attention', 'rest'] as const;

export type OperationTimes = Record<(typeof OPERATIONS)[number], number>;

/**
 * Measures how long the nodes of llama.cpp's graphs take. It has llama.cpp compute them one by one, which costs some
 * microseconds a node, so that a step takes longer in sum than without it. The kernel rewrites nodes before any runs, where these
 * run as they come: what a graph of pages computes is not right the first time, and takes a little longer.
 */
export interface OperationTimer {
  /** For the context to be measured. @param inner what would else be asked about each node, as it still is */
  evalCallback(inner?: EvalCallback): EvalCallback;
  /** Milliseconds since the last call. */
  take(): OperationTimes;
  /** To be called after the contexts are freed. */
  dispose(): void;
}

/** `ggml_backend_sched_eval_callback` of ggml-backend.h. */
const EVAL_CALLBACK = koffi.proto('bool quire_bench_eval_callback(void *node, bool ask, void *data)');

/** Nodes that compute nothing. */
const VIEWS = new Set(['NONE', 'RESHAPE', 'VIEW', 'PERMUTE', 'TRANSPOSE']);

export function openOperationTimer(ggmlBaseLibrary: string): OperationTimer {
  const library = koffi.load(ggmlBaseLibrary);
  const operationOf = library.func('const char *ggml_op_desc(const void *node)') as (node: bigint) => string;
  const nameOf = library.func('const char *ggml_get_name(const void *node)') as (node: bigint) => string;
  const registered: bigint[] = [];
  let times = noTimes();

  return {
    evalCallback(inner) {
      let kind: keyof OperationTimes = 'rest';
      let began = 0;
      const callback = (node: bigint, ask: boolean): boolean => {
        if (!ask) {
          times[kind] += performance.now() - began;
          return true;
        }
        if (inner) koffi.call(inner.evalCallback, EVAL_CALLBACK, node, true, inner.evalCallbackData);
        const operation = operationOf(node);
        if (VIEWS.has(operation)) return false;
        kind = kindOf(operation, nameOf(node));
        began = performance.now();
        return true;
      };
      const pointer = koffi.register(callback, koffi.pointer(EVAL_CALLBACK));
      registered.push(pointer);
      return { evalCallback: pointer, evalCallbackData: 0n };
    },
    take() {
      const taken = times;
      times = noTimes();
      return taken;
    },
    dispose() {
      for (const pointer of registered.splice(0)) koffi.unregister(pointer);
    },
  };
}

const noTimes = (): OperationTimes => ({ matmul: 0, attention: 0, rest: 0 });

/** What is computed over pages, and norms, are `CUSTOM` nodes; llama.cpp's own nodes that write keys and values are named so. */
function kindOf(operation: string, name: string): keyof OperationTimes {
  if (operation === 'MUL_MAT') return 'matmul';
  if (name.includes('norm')) return 'rest';
  return operation === 'CUSTOM' || operation === 'FLASH_ATTN_EXT' || name.startsWith('cache_') ? 'attention' : 'rest';
}
