/** Where a fault strikes in an engine process: kinds, and what they do there. */
const ENGINE_KINDS = ['kill', 'abort', 'hang', 'freeze', 'slow', 'fail-decode', 'exhaust-pages'] as const;
const MESSAGE_KINDS = ['drop', 'delay', 'duplicate', 'corrupt'] as const;
const DOWNLOAD_KINDS = ['break-download', 'corrupt-download'] as const;

/** All that gateway and engine send each other after the first hello; each has one direction. */
const MESSAGES = [
  ...['start', 'add', 'embed', 'abort', 'ping', 'shutdown'],
  ...['progress', 'ready', 'step', 'admitted', 'pong', 'log', 'fatal'],
];
const WRITES = ['download', 'requantize', 'compile'] as const;

/** Whole numbers from `first` to `last`, both included. */
export interface Range {
  first: number;
  last: number;
}

export interface EngineFault {
  kind: (typeof ENGINE_KINDS)[number];
  /** Steps in which it strikes, counted from 1 in each engine; left out: all. */
  steps?: Range;
  /** It strikes only in steps with a prompt that has this token. */
  token?: number;
  /** Of `slow`: by how much. */
  ms: number;
  /** The engines that it strikes, counted from 1 since the gateway began. */
  engines: Range;
}

export interface MessageFault {
  kind: (typeof MESSAGE_KINDS)[number];
  message: string;
  /** It strikes so many messages of this type, from the n-th one that an engine sends or gets. */
  n: Range;
  /** Of `delay`: by how much. */
  ms: number;
  engines: Range;
}

export interface WriteFault {
  kind: 'disk-full';
  write: (typeof WRITES)[number];
  /** So many bytes of the file can be written. */
  bytes: number;
}

export interface DownloadFault {
  kind: (typeof DOWNLOAD_KINDS)[number];
  /** Offset in the file. */
  bytes: number;
  /** How often it strikes. */
  times: number;
}

export type Fault = EngineFault | MessageFault | WriteFault | DownloadFault;

/** QUIRE_FAULTS cannot be read, or must not be set here. The message says what is allowed. */
export class FaultSpecError extends Error {
  override readonly name = 'FaultSpecError';
  readonly hint: string;

  constructor(message: string, hint = 'docs/faults.md has the language of QUIRE_FAULTS.') {
    super(message);
    this.hint = hint;
  }
}

const ALL: Range = { first: 1, last: Number.POSITIVE_INFINITY };
const FIRST: Range = { first: 1, last: 1 };

/**
 * Reads `kind@name=value,name=value;…`, the language of QUIRE_FAULTS.
 * @throws FaultSpecError naming the part that is wrong
 */
export function parseFaults(text: string): Fault[] {
  const parts = text.split(';').map((part) => part.trim());
  return parts.filter((part) => part !== '').map(parseFault);
}

function parseFault(text: string): Fault {
  const [kind = '', ...rest] = text.split('@');
  const fields = new Fields(text, rest.join('@'));
  const fault = readFault(kind.trim(), fields);
  fields.end();
  return fault;
}

function readFault(kind: string, fields: Fields): Fault {
  if (isOneOf(ENGINE_KINDS, kind)) return engineFault(kind, fields);
  if (isOneOf(MESSAGE_KINDS, kind)) return messageFault(kind, fields);
  if (isOneOf(DOWNLOAD_KINDS, kind)) return { kind, bytes: fields.number('bytes'), times: fields.number('times', 1) };
  if (kind === 'disk-full') {
    return { kind, write: fields.oneOf('write', WRITES), bytes: fields.number('bytes', 0) };
  }
  const kinds = [...ENGINE_KINDS, ...MESSAGE_KINDS, ...DOWNLOAD_KINDS, 'disk-full'];
  throw fields.error(`there is no fault '${kind}'; there are ${kinds.join(', ')}`);
}

function engineFault(kind: EngineFault['kind'], fields: Fields): EngineFault {
  const token = fields.has('token') ? fields.number('token') : undefined;
  if (token !== undefined && kind === 'exhaust-pages') throw fields.error('exhaust-pages goes by step only');
  if (token === undefined && !fields.has('step')) throw fields.error('it needs step=N, step=A..B or token=ID');
  return {
    kind,
    ...(fields.has('step') && { steps: fields.range('step', 'steps') }),
    ...(token !== undefined && { token }),
    ms: kind === 'slow' ? fields.number('ms') : 0,
    // A prompt that engines die of kills the next one as well.
    engines: fields.engines(token === undefined ? FIRST : ALL),
  };
}

function messageFault(kind: MessageFault['kind'], fields: Fields): MessageFault {
  return {
    kind,
    message: fields.oneOf('message', MESSAGES),
    n: fields.has('n') ? fields.range('n') : FIRST,
    ms: kind === 'delay' ? fields.number('ms') : 0,
    engines: fields.engines(FIRST),
  };
}

/** The `name=value` of one fault, each to be read once. */
class Fields {
  private readonly text: string;
  private readonly values = new Map<string, string>();

  constructor(text: string, fields: string) {
    this.text = text;
    for (const field of fields.split(',').map((one) => one.trim())) {
      if (field === '') continue;
      const [name = '', ...value] = field.split('=');
      if (this.values.has(name)) throw this.error(`${name} is given twice`);
      this.values.set(name, value.join('='));
    }
  }

  has(name: string): boolean {
    return this.values.has(name);
  }

  number(name: string, otherwise?: number): number {
    if (otherwise !== undefined && !this.has(name)) return otherwise;
    return this.whole(name, this.take(name));
  }

  oneOf<T extends string>(name: string, allowed: readonly T[]): T {
    const value = this.take(name);
    if (isOneOf(allowed, value)) return value;
    throw this.error(`${name} is one of ${allowed.join(', ')}, not '${value}'`);
  }

  /** `3`, `3..5` or `3..`; with the name of a length also `3` and that. */
  range(name: string, lengthName?: string): Range {
    const value = this.take(name);
    const [from = '', to] = value.split('..');
    const first = this.whole(name, from);
    const length = lengthName === undefined ? 1 : this.number(lengthName, 1);
    if (to === undefined) return { first, last: first + length - 1 };
    if (length !== 1) throw this.error(`${name}=A..B and ${lengthName} exclude each other`);
    const last = to === '' ? Number.POSITIVE_INFINITY : this.whole(name, to);
    if (last < first) throw this.error(`${name}=${value} ends before it begins`);
    return { first, last };
  }

  engines(otherwise: Range): Range {
    if (this.has('every')) {
      const value = this.take('every');
      if (value !== '') throw this.error('every takes no value');
      return ALL;
    }
    return this.has('engine') ? this.range('engine') : otherwise;
  }

  /** @throws FaultSpecError for names that nobody has asked for */
  end(): void {
    const [unknown] = this.values.keys();
    if (unknown !== undefined) throw this.error(`'${unknown}' means nothing here`);
  }

  error(problem: string): FaultSpecError {
    return new FaultSpecError(`QUIRE_FAULTS: in '${this.text}': ${problem}`);
  }

  private take(name: string): string {
    const value = this.values.get(name);
    if (value === undefined) throw this.error(`it needs ${name}=…`);
    this.values.delete(name);
    return value;
  }

  private whole(name: string, text: string): number {
    if (/^\d{1,15}$/.test(text)) return Number(text);
    throw this.error(`${name} is a whole number, not '${text}'`);
  }
}

function isOneOf<T extends string>(allowed: readonly T[], value: string): value is T {
  return (allowed as readonly string[]).includes(value);
}

export function isIn({ first, last }: Range, number: number): boolean {
  return first <= number && number <= last;
}
