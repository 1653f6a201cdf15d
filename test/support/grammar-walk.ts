import { Compiler } from '../../src/grammar/compiler.js';
import type { GrammarText } from '../../src/grammar/grammar.js';
import { matchersFor } from '../../src/grammar/matcher.js';
import { packVocabulary } from '../../src/grammar/vocabulary.js';
import { loadXGrammar } from '../../src/grammar/xgrammar.js';

/** A vocabulary of all bytes, and of an end token. */
export const BYTES = {
  size: 257,
  pieceBytes: (token: number) => (token === 256 ? new Uint8Array() : Uint8Array.of(token)),
  isEndOfGeneration: (token: number) => token === 256,
};
const END = 256;

const vocabulary = packVocabulary(BYTES);
export const xgrammar = loadXGrammar();
const compiler = new Compiler(xgrammar, vocabulary);
const createMatcher = matchersFor(xgrammar, vocabulary);

/** A matcher of a grammar over bytes. To be disposed of. */
async function openMatcher({ ebnf, lengths }: GrammarText) {
  const compiled = await compiler.compile({ ebnf, textTokens: [] });
  const matcher = await createMatcher(compiled, lengths);
  compiled.dispose();
  return matcher;
}

/** Whether a grammar matches a text as a whole. */
export async function accepts(grammar: GrammarText, text: string): Promise<boolean> {
  const matcher = await openMatcher(grammar);
  const mask = new Int32Array(9);
  try {
    for (const byte of new TextEncoder().encode(text)) {
      await matcher.fill(mask);
      if (!has(mask, byte)) return false;
      matcher.accept(byte);
    }
    await matcher.fill(mask);
    return has(mask, END);
  } finally {
    matcher.dispose();
  }
}

/**
 * A text that a grammar matches, chosen byte by byte; one that becomes long takes what leads to an end sooner.
 * @param random from 0 up to 1
 * @returns undefined when it had no end after 2000 bytes
 */
export async function walk(grammar: GrammarText, random: () => number): Promise<string | undefined> {
  const matcher = await openMatcher(grammar);
  const mask = new Int32Array(9);
  const bytes: number[] = [];
  try {
    while (bytes.length < 2000) {
      await matcher.fill(mask);
      const allowed = Array.from({ length: 257 }, (_, token) => token).filter((token) => has(mask, token));
      if (allowed.length === 0) throw new Error(`no way on after ${new TextDecoder().decode(Uint8Array.from(bytes))}`);
      const token = choose(allowed, bytes.length, random);
      if (token === END) return new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.from(bytes));
      matcher.accept(token);
      bytes.push(token);
    }
    return undefined;
  } finally {
    matcher.dispose();
  }
}

function choose(allowed: readonly number[], length: number, random: () => number): number {
  if (allowed.includes(END) && random() < 0.7) return END;
  const closing = allowed.filter((token) => '"}],'.includes(String.fromCharCode(token)));
  if (closing.length > 0 && random() < (length > 200 ? 0.95 : 0.3)) {
    const end = length > 200 ? closing.filter((token) => token !== 0x2c) : closing;
    return pick(end.length > 0 ? end : closing, random);
  }
  const plain = allowed.filter((token) => token < 128 && token !== 0x20 && token !== 0x09 && token !== 0x0a);
  return pick(plain.length > 0 && random() < 0.9 ? plain : allowed, random);
}

function pick(from: readonly number[], random: () => number): number {
  return from[Math.floor(random() * from.length)]!;
}

function has(mask: Int32Array, token: number): boolean {
  return ((mask[token >> 5]! >>> (token & 31)) & 1) === 1;
}
