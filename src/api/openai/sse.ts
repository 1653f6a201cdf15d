import type { Context } from 'hono';
import type { Logger } from '../../telemetry/index.js';
import { type EventWriter, type StreamFormat, streamAnswer } from '../stream.js';
import type { Submission } from './submission.js';

export type { EventWriter } from '../stream.js';

/** One server-sent event with JSON as its data. */
export function sseEvent(json: string): string {
  return `data: ${json}\n\n`;
}

export const SSE_CONTENT_TYPE = 'text/event-stream; charset=utf-8';

const DONE = sseEvent('[DONE]');

const format: StreamFormat = {
  contentType: SSE_CONTENT_TYPE,
  error: ({ body }) => sseEvent(JSON.stringify(body)),
};

/** Answers with a stream of server-sent events, `[DONE]` at its end unless that is an error, as with vLLM. */
export function streamEvents(
  c: Context,
  submission: Submission,
  writer: EventWriter,
  logger: Logger,
): Promise<Response> {
  return streamAnswer(
    c,
    submission,
    { event: (event) => writer.event(event), end: () => writer.end() + DONE },
    format,
    logger,
  );
}
