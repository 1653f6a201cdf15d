/**
 * The thread that knows which tokens may come next: it owns the matchers of all constrained choices of an engine and
 * fills their masks while the engine computes.
 */
import { parentPort, workerData } from 'node:worker_threads';
import type { CompiledGrammar } from '@mlc-ai/web-xgrammar';
import { LRUCache } from 'lru-cache';
import { Compiler, type GrammarSource } from './compiler.js';
import { GrammarError } from './grammar-error.js';
import { type MaskReply, type MaskRequest, openMask } from './mask-messages.js';
import { type Matcher, matchersFor } from './matcher.js';
import type { PackedVocabulary } from './vocabulary.js';
import { loadXGrammar } from './xgrammar.js';

/** Compiled grammars to keep when nobody uses them. */
const KEPT_GRAMMARS = 64;

interface Choice {
  matcher: Matcher;
  count: Int32Array;
  words: Int32Array;
}

const vocabulary = workerData as PackedVocabulary;
const xgrammar = loadXGrammar();
const compiler = new Compiler(xgrammar, vocabulary);
const createMatcher = matchersFor(xgrammar, vocabulary);
const compiled = new LRUCache<string, CompiledGrammar>({
  max: KEPT_GRAMMARS,
  dispose: (grammar) => grammar.dispose(),
});
const requests = new Map<string, Choice[]>();

// One message at a time, in order: XGrammar's calls are promises, but compute at once.
let handled = Promise.resolve();
parentPort!.on('message', (message: MaskRequest) => {
  handled = handled.then(() => handle(message));
});

async function handle(message: MaskRequest): Promise<void> {
  switch (message.type) {
    case 'open':
      reply(await open(message));
      return;
    case 'accept':
      for (const [id, index, token] of message.tokens) {
        const choice = requests.get(id)?.[index];
        if (choice !== undefined) await accept(choice, token);
      }
      return;
    case 'close':
      for (const { matcher } of requests.get(message.id) ?? []) matcher.dispose();
      requests.delete(message.id);
  }
}

async function open({ id, grammar, choices: asked }: Extract<MaskRequest, { type: 'open' }>): Promise<MaskReply> {
  const choices: Choice[] = [];
  try {
    const ready = await compile(grammar);
    for (const { mask, tokens } of asked) {
      const choice = { matcher: await createMatcher(ready, grammar.lengths), ...openMask(mask) };
      choices.push(choice);
      for (const token of tokens) {
        await choice.matcher.fill(choice.words);
        choice.matcher.accept(token);
      }
    }
    requests.set(id, choices);
    for (const choice of choices) await fill(choice);
    return { type: 'opened', id };
  } catch (failure) {
    for (const { matcher } of choices) matcher.dispose();
    requests.delete(id);
    const error = xgrammar.explain(failure);
    return { type: 'refused', id, message: error.message, wrong: error instanceof GrammarError };
  }
}

async function compile(grammar: GrammarSource): Promise<CompiledGrammar> {
  const key = `${grammar.textTokens.map(([token]) => token)}\n${grammar.ebnf}`;
  const known = compiled.get(key);
  if (known !== undefined) return known;
  const fresh = await compiler.compile(grammar);
  compiled.set(key, fresh);
  return fresh;
}

async function accept(choice: Choice, token: number): Promise<void> {
  try {
    choice.matcher.accept(token);
    await fill(choice);
  } catch (failure) {
    xgrammar.explain(failure);
    publish(choice.count, -1);
  }
}

async function fill({ matcher, count, words }: Choice): Promise<void> {
  publish(count, (await matcher.fill(words)) ? count[0]! + 1 : -1);
}

function publish(count: Int32Array, value: number): void {
  Atomics.store(count, 0, value);
  Atomics.notify(count, 0);
}

function reply(message: MaskReply): void {
  parentPort!.postMessage(message);
}
