import type { Context } from 'hono';
import type { GenerationDelta } from '../../serving/index.js';
import type { Logger } from '../../telemetry/index.js';
import { toErrorReply } from './errors.js';
import type { ChoiceEnd, Submission } from './submission.js';

/** One server-sent event with JSON as its data. */
export function sseEvent(json: string): string {
  return `data: ${json}\n\n`;
}

const DONE = sseEvent('[DONE]');

/** Turns what happens to a request into events; both may return several, or none as ''. */
export interface EventWriter {
  event(event: GenerationDelta | ChoiceEnd): string;
  /** What comes after the last one, before `[DONE]`. */
  end(): string;
}

/**
 * Answers with a stream of server-sent events, `[DONE]` at its end.
 *
 * The response begins with the first event, so that whatever goes wrong before has a proper status. Later an error is an
 * event of its own, and no `[DONE]` follows, as with vLLM. The next event is written when the client has room for it: a
 * slow reader holds up nobody and nothing piles up here.
 */
export async function streamEvents(
  c: Context,
  submission: Submission,
  writer: EventWriter,
  logger: Logger,
): Promise<Response> {
  const source = submission.events[Symbol.asyncIterator]();
  const encoder = new TextEncoder();
  let cancelled = false;

  /** Undefined after the last one. */
  async function next(): Promise<string | undefined> {
    for (;;) {
      const result = await source.next();
      if (result.done) return undefined;
      const text = writer.event(submission.take(result.value));
      if (text !== '') return text;
    }
  }

  let first: string | undefined;
  try {
    first = await next();
  } catch (error) {
    submission.end();
    throw error;
  }

  const stream = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        let last: string;
        try {
          const text = first ?? (await next());
          first = undefined;
          if (cancelled) return;
          if (text !== undefined) {
            controller.enqueue(encoder.encode(text));
            return;
          }
          last = writer.end() + DONE;
        } catch (error) {
          if (cancelled) return;
          const { status, body } = toErrorReply(error);
          if (status >= 500) logger.error({ err: error }, 'a stream ended with an error');
          last = sseEvent(JSON.stringify(body));
        }
        controller.enqueue(encoder.encode(last));
        controller.close();
        submission.end();
      },
      async cancel() {
        cancelled = true;
        // Before `return`, which may have to wait until an event that is on its way has come.
        submission.end();
        await source.return?.();
      },
    },
    { highWaterMark: 0 },
  );

  return c.body(stream, 200, {
    'Content-Type': 'text/event-stream; charset=utf-8',
    'Cache-Control': 'no-cache',
    // Said out loud, it keeps the Node adapter from waiting whether the body ends soon.
    'Transfer-Encoding': 'chunked',
    // nginx would otherwise collect the stream before it passes it on.
    'X-Accel-Buffering': 'no',
  });
}
