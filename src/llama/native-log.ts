import { type Bindings, logCallback } from './bindings.js';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type LogListener = (level: LogLevel, message: string) => void;

/** `enum ggml_log_level`; 0 is plain output. */
const LEVELS: readonly LogLevel[] = ['info', 'debug', 'info', 'warn', 'error'];
const CONTINUATION = 5;

export interface NativeLog {
  /** Forgets the errors logged so far: those that follow belong to the call that is about to be made. */
  beginCall(): void;
  /** The first error logged since then, in one line, or ''. The cause comes first, then what failed because of it. */
  reason(): string;
  /** Runs `body` while nothing is logged. */
  silence<T>(body: () => T): T;
}

/**
 * Routes llama.cpp's and ggml's log to `listener`, one whole line at a time.
 *
 * What a native thread other than the calling one logs is handed to the event loop, and that thread waits until the loop
 * has run: safe unless the loop itself waits in native code for that thread. CPU threads log nothing while they compute;
 * GPU backends may, so their computations run under {@link NativeLog.silence}.
 */
export function routeNativeLog(bindings: Bindings, listener: LogListener): NativeLog {
  let firstError = '';
  let inFirstError = false;
  let level: LogLevel = 'info';
  let partial = '';

  const emit = (line: string) => {
    const message = line.trimEnd();
    if (message === '') return;
    try {
      listener(level, message);
    } catch {
      // An exception would surface from the native call that logged, which has not failed.
    }
  };

  const callback = logCallback((nativeLevel, text) => {
    const next = nativeLevel === CONTINUATION ? level : (LEVELS[nativeLevel] ?? 'info');
    // Some lines come in pieces of one level instead of as continuations; a line break ends either.
    if (nativeLevel !== CONTINUATION && (partial === '' || next !== level)) {
      emit(partial);
      partial = '';
      level = next;
      inFirstError = level === 'error' && firstError === '';
    }
    if (inFirstError) firstError += text ?? '';
    const lines = (partial + (text ?? '')).split('\n');
    partial = lines.pop() ?? '';
    lines.forEach(emit);
  });

  const stop = () => bindings.llama_log_set(bindings.noOperation, null);
  bindings.llama_log_set(callback, null);
  // Backends log once more as the process unloads them, when there is no JavaScript left to call.
  process.once('exit', stop);

  return {
    beginCall: () => {
      firstError = '';
    },
    reason: () =>
      firstError
        .replace(/^\w+: (error loading model: )?/, '')
        .replace(/\s+/g, ' ')
        .trim(),
    silence: (body) => {
      stop();
      try {
        return body();
      } finally {
        bindings.llama_log_set(callback, null);
      }
    },
  };
}
