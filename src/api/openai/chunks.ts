import type { Usage } from '../../serving/index.js';
import type { AnswerHead } from './answer-head.js';
import { sseEvent } from './sse.js';
import { toWireUsage } from './usage.js';

export interface StreamOptions {
  include_usage?: boolean | null;
  continuous_usage_stats?: boolean | null;
}

export interface ChunkWriter {
  /**
   * An event with one choice in it, given as JSON.
   * @param more Further fields of the event, as JSON text that begins with a comma.
   */
  choice(json: string, more?: string): string;
  /** What comes before `[DONE]`: an event with the usage of the request, when it was asked for, or ''. */
  end(): string;
}

/**
 * Writes the chunks of one stream. A chunk is one small JSON object per token and stream, so its constant parts are
 * serialised once: this line is as hot as the API gets.
 *
 * @param usage Running totals.
 */
export function chunkWriter(head: AnswerHead, options: StreamOptions, usage: () => Usage): ChunkWriter {
  const start = `${JSON.stringify(head).slice(0, -1)},"choices":[`;
  const usageSoFar = (): string => `,"usage":${JSON.stringify(toWireUsage(usage()))}}`;
  // With `include_usage` every chunk has the field, null on all but the last; without it no chunk has.
  const noUsage = options.include_usage ? ',"usage":null}' : '}';
  const end = options.continuous_usage_stats ? usageSoFar : () => noUsage;
  return {
    choice: (json, more = '') => sseEvent(`${start}${json}]${more}${end()}`),
    end: () => (options.include_usage ? sseEvent(`${start}]${usageSoFar()}`) : ''),
  };
}
