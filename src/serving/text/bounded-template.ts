/**
 * Jinja templates as models bring them, in a room without doors: a template sees the values that it is given and a few
 * functions, never JavaScript's own objects, and ends within bounds of time and size whatever it says. It runs where all
 * requests are answered, so that one that does not end would hold up everybody.
 */
import { Environment, Interpreter, parse, tokenize } from '@huggingface/jinja';

/** What is used of the library's types, which it does not export. */
interface Node {
  type: string;
  property?: { type: string };
}
interface Value {
  value: unknown;
}
interface Scope {
  set(name: string, value: unknown): unknown;
}
interface Evaluator {
  evaluate(node: Node | undefined, scope: Scope): Value;
  run(program: unknown): Value;
}

const JinjaInterpreter = Interpreter as unknown as new (scope: Scope) => Evaluator;
const createScope = (): Scope => new (Environment as unknown as new () => Scope)();

export interface TemplateLimits {
  /** Rendering takes milliseconds for long chats. */
  ms: number;
  /** Characters of texts, and eight for each element of a list or mapping, that are made on the way. */
  size: number;
}

const LIMITS: TemplateLimits = { ms: 2_000, size: 2 ** 29 };

/** Characters of a template; real ones have up to 30,000. */
const MAX_SOURCE = 2 ** 20;
/** White space in a row: the library looks at each part of it again from each of its characters. */
const MAX_BLANKS = 500;
/** Of one text: more tokens than any model takes. */
const MAX_TEXT = 2 ** 24;
/** Of one list or mapping. */
const MAX_ITEMS = 2 ** 20;
/** As in Jinja's own sandbox. */
const MAX_RANGE = 100_000;
/** Evaluations between two looks at the clock. */
const CLOCK_EVERY = 32;

/** Rendering was ended because it took too long or made too much. */
export class TemplateLimitError extends Error {
  constructor(message: string) {
    super(message);
    this.name = new.target.name;
  }
}

export class BoundedTemplate {
  readonly #program: unknown;

  /** @throws Error when it cannot be parsed, or is more than a template may be */
  constructor(source: string) {
    if (source.length > MAX_SOURCE) throw new Error(`it is longer than ${MAX_SOURCE} characters`);
    for (const [blanks] of source.matchAll(/\s+/g)) {
      if (blanks.length > MAX_BLANKS) throw new Error(`it has more than ${MAX_BLANKS} blanks in a row`);
    }
    this.#program = parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true }));
  }

  /** @throws TemplateLimitError; whatever the template raises; RangeError when macros call themselves without end */
  render(items: Readonly<Record<string, unknown>>, limits: TemplateLimits = LIMITS): string {
    const scope = createScope();
    for (const [name, value] of Object.entries({ ...GLOBALS, ...items })) scope.set(name, value);
    return String(new BoundedInterpreter(scope, limits).run(this.#program).value);
  }
}

class BoundedInterpreter extends JinjaInterpreter {
  readonly #limits: TemplateLimits;
  readonly #end: number;
  #evaluations = 0;
  #size = 0;

  constructor(scope: Scope, limits: TemplateLimits) {
    super(scope);
    this.#limits = limits;
    this.#end = performance.now() + limits.ms;
  }

  override evaluate(node: Node | undefined, scope: Scope): Value {
    // A loop around nothing is one evaluation.
    const isDue = ++this.#evaluations % CLOCK_EVERY === 0 || node?.type === 'For';
    if (isDue && performance.now() > this.#end) {
      throw new TemplateLimitError(`the template takes longer than ${this.#limits.ms} ms`);
    }
    const value = super.evaluate(node, scope);
    if (node !== undefined && makesValues(node)) this.#count(value);
    return value;
  }

  #count({ value }: Value): void {
    if (typeof value === 'string') {
      if (value.length > MAX_TEXT) throw new TemplateLimitError(`a text in it is longer than ${MAX_TEXT} characters`);
      this.#size += value.length;
    } else if (Array.isArray(value) || value instanceof Map) {
      const items = Array.isArray(value) ? value.length : value.size;
      if (items > MAX_ITEMS) throw new TemplateLimitError(`a list in it is longer than ${MAX_ITEMS}`);
      this.#size += 8 * items;
    }
    if (this.#size > this.#limits.size) throw new TemplateLimitError('it makes more text than can be handled');
  }
}

/** Variables and members are there already. Slices, which are said as members, are copies. */
function makesValues({ type, property }: Node): boolean {
  return type === 'MemberExpression' ? property?.type === 'SliceExpression' : type !== 'Identifier';
}

/** What Hugging Face's `apply_chat_template` gives to templates. */
const GLOBALS: Readonly<Record<string, unknown>> = {
  true: true,
  false: false,
  none: null,
  True: true,
  False: false,
  None: null,
  range,
  strftime_now: (format: unknown) => strftime(new Date(), String(format)),
  raise_exception(message: unknown) {
    throw new Error(String(message));
  },
};

function range(first: number, last?: number, step = 1): number[] {
  const [start, stop] = last === undefined ? [0, first] : [first, last];
  if (step === 0) throw new Error('range() step must not be zero');
  const length = Math.max(0, Math.ceil((stop - start) / step));
  // Also where one of them is no number.
  if (!(length <= MAX_RANGE)) throw new TemplateLimitError(`range() has more than ${MAX_RANGE} numbers`);
  return Array.from({ length }, (_, i) => start + i * step);
}

/** The directives that chat templates use, as Python's `strftime` writes them in English. */
function strftime(date: Date, format: string): string {
  const two = (value: number) => String(value).padStart(2, '0');
  const name = (options: Intl.DateTimeFormatOptions) => new Intl.DateTimeFormat('en-US', options).format(date);
  const parts: Record<string, () => string> = {
    Y: () => String(date.getFullYear()),
    y: () => two(date.getFullYear() % 100),
    m: () => two(date.getMonth() + 1),
    d: () => two(date.getDate()),
    b: () => name({ month: 'short' }),
    B: () => name({ month: 'long' }),
    a: () => name({ weekday: 'short' }),
    A: () => name({ weekday: 'long' }),
    H: () => two(date.getHours()),
    I: () => two(date.getHours() % 12 || 12),
    p: () => (date.getHours() < 12 ? 'AM' : 'PM'),
    M: () => two(date.getMinutes()),
    S: () => two(date.getSeconds()),
    '%': () => '%',
  };
  return format.replace(/%([A-Za-z%])/g, (directive, letter: string) => parts[letter]?.() ?? directive);
}
