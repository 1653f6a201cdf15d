import type { Context } from 'hono';
import type { GenerationDelta } from '../serving/index.js';
import type { Logger } from '../telemetry/index.js';
import { type ErrorReply, isFault, toErrorReply } from './openai/errors.js';
import type { ChoiceEnd, Submission } from './openai/submission.js';
import { type TextSource, textBody } from './text-body.js';

/** Turns what happens to a request into text of a stream; both may return several events, or none as ''. */
export interface EventWriter {
  event(event: GenerationDelta | ChoiceEnd): string;
  /** What comes after the last one. */
  end(): string;
}

/** How a protocol frames its streams. */
export interface StreamFormat {
  contentType: string;
  /** What a stream ends with that has begun and cannot go on. */
  error(reply: ErrorReply): string;
}

/**
 * Answers with a stream of text.
 *
 * The response begins with the first event, so that whatever goes wrong before has a proper status. Later an error is an
 * event of its own, and nothing follows it. The next event is written when the client has room for it: a slow reader holds
 * up nobody and nothing piles up here.
 */
export async function streamAnswer(
  c: Context,
  submission: Submission,
  writer: EventWriter,
  format: StreamFormat,
  logger: Logger,
): Promise<Response> {
  const source = submission.events[Symbol.asyncIterator]();
  let begun = false;
  let over = false;

  function end(): void {
    over = true;
    submission.end();
  }

  /** Undefined after the last one. Throws only before the first one. */
  async function next(): Promise<string | undefined> {
    if (over) return undefined;
    try {
      for (;;) {
        const result = await source.next();
        if (over) return undefined;
        const text = result.done ? writer.end() : writer.event(submission.take(result.value));
        if (result.done) end();
        if (text !== '') return text;
        if (result.done) return undefined;
      }
    } catch (error) {
      if (over) return undefined;
      end();
      if (!begun) throw error;
      const reply = toErrorReply(error);
      if (isFault(error, reply)) logger.error({ err: error }, 'a stream ended with an error');
      return format.error(reply);
    }
  }

  let first = await next();
  begun = true;

  const events: TextSource = {
    next() {
      if (first === undefined) return next();
      const text = first;
      first = undefined;
      return Promise.resolve(text);
    },
    cancel() {
      if (over) return;
      // Before `return`, which may have to wait until an event that is on its way has come.
      end();
      void source.return?.();
    },
  };
  const body = textBody(kept(c, submission, events, format));
  return c.body(body, 200, { ...STREAM_HEADERS, 'Content-Type': format.contentType });
}

export const STREAM_HEADERS = {
  'Cache-Control': 'no-cache',
  // Said out loud, it keeps the Node adapter from waiting whether the body ends soon.
  'Transfer-Encoding': 'chunked',
  // nginx would otherwise collect the stream before it passes it on.
  'X-Accel-Buffering': 'no',
};

/**
 * The same events, to be taken up again by their client after it has lost its connection: where the server keeps streams and
 * the request does not say `X-Stream-Resumable: false`. Only server-sent events can be, as others have no ids.
 */
function kept(c: Context, { keep }: Submission, events: TextSource, { contentType }: StreamFormat): TextSource {
  const id: string | undefined = c.get('requestId');
  if (!keep || id === undefined || !contentType.startsWith('text/event-stream')) return events;
  if (c.req.header('X-Stream-Resumable')?.toLowerCase() === 'false' || c.req.raw.signal.aborted) return events;
  keep.stayOn();
  return keep.streams.add(c.get('client') ?? '', id, contentType, events).read(0);
}
