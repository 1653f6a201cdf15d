import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** Text that comes piece by piece, for one reader. */
export interface TextSource {
  /** The next piece, undefined after the last one; never rejects. Asked for once at a time. */
  next(): Promise<string | undefined>;
  /** To be called when nobody reads on; a `next` that is under way may then stay without an answer. */
  cancel(): void;
}

const sources = new WeakMap<ReadableStream, TextSource>();

/**
 * The body of a response whose text is only now being made. It is a web stream like any other; `takeTextBody` spares
 * those who write it to a socket what the stream itself costs for every piece.
 */
export function textBody(source: TextSource): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let cancelled = false;
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const text = await source.next();
        if (cancelled) return;
        if (text === undefined) controller.close();
        else controller.enqueue(encoder.encode(text));
      },
      cancel() {
        cancelled = true;
        source.cancel();
      },
    },
    { highWaterMark: 0 },
  );
  sources.set(body, source);
  return body;
}

/** What a body that `textBody` made, and that nobody reads yet, is made of. Whoever takes it reads it instead. */
export function takeTextBody(body: ReadableStream | null): TextSource | undefined {
  if (body === null) return undefined;
  const source = sources.get(body);
  sources.delete(body);
  return source;
}

/**
 * Answers with a text body: writes a piece when the client has room for it, and cancels the source when the client
 * leaves. Resolves when the source has ended, or has answered after the client left.
 *
 * Chunks are framed here (RFC 9112, section 7.1) and go to the socket past `outgoing.write`, which makes four writes of
 * each and costs the gateway about a quarter more per token.
 *
 * @param socket Of `outgoing`, which has one unless it must wait for the responses to requests before it.
 */
export async function writeTextBody(
  source: TextSource,
  { status, headers }: Response,
  outgoing: ServerResponse,
  socket: Socket,
): Promise<void> {
  let goOn = (): void => {};
  const onDrain = (): void => goOn();
  socket.on('drain', onDrain);
  outgoing.on('close', () => {
    socket.off('drain', onDrain);
    source.cancel();
    goOn();
  });

  let corked = false;
  function uncork(): void {
    corked = false;
    socket.uncork();
  }

  /** Whether there is room for more. Pieces that come in one turn of the event loop go out together. */
  function write(text: string): boolean {
    if (!corked) {
      corked = true;
      socket.cork();
      process.nextTick(uncork);
    }
    return socket.write(`${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`);
  }

  outgoing.setHeaders(headers);
  outgoing.setHeader('Transfer-Encoding', 'chunked');
  outgoing.writeHead(status);
  outgoing.flushHeaders();
  while (!socket.destroyed) {
    const text = await source.next();
    if (text === undefined) {
      outgoing.end();
      return;
    }
    if (!socket.destroyed && !write(text)) {
      await new Promise<void>((resolve) => {
        goOn = resolve;
      });
    }
  }
}
