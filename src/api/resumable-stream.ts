import type { TextSource } from './text-body.js';

/** What a stream keeps its events for. */
export interface ResumableStreamParts {
  /** Begins the id of every event; nothing but letters, digits, `_`, `-` and `=`. */
  id: string;
  /** Text of whole server-sent events. */
  source: TextSource;
  /** How long it stays when nobody reads it, in ms. */
  windowMs: number;
  /** More bytes are kept, or fewer. */
  onSize(bytes: number): void;
  /** The window has closed: the source is cancelled, and nothing is kept. */
  onClosed(): void;
}

/**
 * A stream of events that outlives its reader. Each event gets an id, `<stream>/<number from 0>`, and is kept for those who
 * come back. While somebody reads, an event is asked for only when there is room for it; while nobody does, events are
 * collected until the window closes.
 */
export class ResumableStream {
  readonly id: string;
  /** No event will come any more. */
  isOver = false;
  bytes = 0;
  private readonly parts: ResumableStreamParts;
  private readonly events: string[] = [];
  /** The number of the first event that is kept. */
  private first = 0;
  private reader: Reader | undefined;
  private isPulling = false;
  private isClosed = false;
  private window: NodeJS.Timeout | undefined;

  constructor(parts: ResumableStreamParts) {
    this.parts = parts;
    this.id = parts.id;
  }

  get isRead(): boolean {
    return this.reader !== undefined;
  }

  /** The number that the next event will have. */
  get end(): number {
    return this.first + this.events.length;
  }

  /** Whether all events from this one on are there. */
  has(from: number): boolean {
    return from >= this.first && from <= this.end;
  }

  /** The events from this number on, for one reader; who has read until now is at the end of its stream. */
  read(from: number): TextSource {
    const reader: Reader = { position: from };
    this.detach();
    clearTimeout(this.window);
    this.reader = reader;
    return {
      next: () => {
        const text = this.take(reader);
        if (text !== undefined || this.reader !== reader || this.isOver) return Promise.resolve(text);
        this.pull();
        return new Promise((resolve) => {
          reader.resolve = resolve;
        });
      },
      cancel: () => {
        if (this.reader !== reader) return;
        this.detach();
        this.waitForReader();
      },
    };
  }

  /** Forgets the earliest events until at least so many bytes are free. */
  trim(bytes: number): void {
    const target = Math.max(0, this.bytes - bytes);
    let count = 0;
    let freed = 0;
    while (this.bytes - freed > target) freed += Buffer.byteLength(this.events[count++]!);
    this.events.splice(0, count);
    this.first += count;
    this.resize(-freed);
  }

  /** Ends it, whatever it is doing. */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    clearTimeout(this.window);
    if (!this.isOver) this.parts.source.cancel();
    this.isOver = true;
    this.detach();
    this.trim(this.bytes);
    this.parts.onClosed();
  }

  private detach(): void {
    this.reader?.resolve?.(undefined);
    this.reader = undefined;
  }

  private waitForReader(): void {
    if (this.isClosed) return;
    this.window = setTimeout(() => this.close(), this.parts.windowMs).unref();
    this.pull();
  }

  private take(reader: Reader): string | undefined {
    if (this.reader !== reader || reader.position >= this.end) return undefined;
    // What was trimmed while a slow reader waited is lost to it: it must not take the rest for the whole.
    if (reader.position < this.first) {
      this.close();
      return undefined;
    }
    const text = this.events.slice(reader.position - this.first).join('');
    reader.position = this.end;
    return text;
  }

  /** Asks for the next events, unless that is under way. */
  private pull(): void {
    if (this.isPulling || this.isOver) return;
    this.isPulling = true;
    this.parts.source.next().then((text) => {
      this.isPulling = false;
      if (this.isClosed) return;
      const bytes = text === undefined ? 0 : this.add(text);
      if (text === undefined) this.isOver = true;
      // First to whoever waits: making room may cost the earliest events, which it has by then.
      this.deliver();
      this.resize(bytes);
    });
  }

  private deliver(): void {
    const { reader } = this;
    if (reader === undefined) this.pull();
    else if (reader.resolve !== undefined) {
      const { resolve } = reader;
      reader.resolve = undefined;
      resolve(this.take(reader));
    }
  }

  /** Returns how many bytes more are kept. */
  private add(text: string): number {
    let bytes = 0;
    for (const event of text.split(EVENT_END)) {
      if (event === '') continue;
      const numbered = `id: ${this.id}/${this.end}\n${event}${EVENT_END}`;
      this.events.push(numbered);
      bytes += Buffer.byteLength(numbered);
    }
    return bytes;
  }

  private resize(change: number): void {
    this.bytes += change;
    this.parts.onSize(change);
  }
}

/** JSON has no line breaks, so nothing else looks like it. */
const EVENT_END = '\n\n';

interface Reader {
  /** The number of the next event that it wants. */
  position: number;
  /** Set while it waits. */
  resolve?(text: string | undefined): void;
}
