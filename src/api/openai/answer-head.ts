import { createHash } from 'node:crypto';
import type { EngineInfo, ServedModel } from '../../serving/index.js';

/** What a whole answer, and every chunk of a streamed one, begins with. */
export interface AnswerHead<Kind extends string = string> {
  id: string;
  object: Kind;
  /** Unix seconds. */
  created: number;
  model: string;
  system_fingerprint: string;
}

export function answerHead<Kind extends string>(id: string, object: Kind, model: ServedModel): AnswerHead<Kind> {
  return {
    id,
    object,
    created: Math.floor(Date.now() / 1000),
    model: model.id,
    system_fingerprint: systemFingerprint(model.info),
  };
}

/**
 * The same for as long as the same request with the same seed gets the same answer: for one set of weights, one kernel and
 * one CPU backend.
 */
function systemFingerprint(info: EngineInfo): string {
  const parts = [
    info.modelDescription,
    info.weightBytes,
    info.kvBackend,
    info.kernel,
    info.cpuBackend,
    info.rowPadding,
  ];
  return `fp_${createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 12)}`;
}
