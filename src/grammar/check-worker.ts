/** The thread that makes grammars of what clients ask for, and compiles each once to see whether that can be done. */
import { parentPort } from 'node:worker_threads';
import type { CheckReply, CheckRequest } from './check-messages.js';
import { Compiler } from './compiler.js';
import { formToGrammar } from './form.js';
import { GrammarError } from './grammar-error.js';
import { matchersFor } from './matcher.js';
import type { PackedVocabulary } from './vocabulary.js';
import { loadXGrammar, type XGrammar } from './xgrammar.js';

/** Each failure leaves something behind in XGrammar's memory. */
const MOST_FAILURES = 20;

let xgrammar: XGrammar;
let vocabulary: PackedVocabulary;
let compiler: Compiler;
let createMatcher: ReturnType<typeof matchersFor>;
let failures = 0;

parentPort!.on('message', async (request: CheckRequest) => {
  if (request.vocabulary !== undefined) {
    vocabulary = request.vocabulary;
    startAgain();
  }
  parentPort!.postMessage(await answer(request));
});

async function answer({ form, textTokens }: CheckRequest): Promise<CheckReply> {
  try {
    const text = await formToGrammar(form, xgrammar);
    const { ebnf, lengths } = text;
    if (/\p{Surrogate}/u.test(ebnf)) throw new GrammarError('it has half a character in it: a lone surrogate');
    const compiled = await compiler.compile({ ebnf, textTokens });
    const matcher = await createMatcher(compiled, lengths);
    const canBegin = await matcher.fill(new Int32Array(Math.ceil(vocabulary.ends.length / 32)));
    matcher.dispose();
    compiled.dispose();
    if (!canBegin) throw new GrammarError('there is no text that satisfies it');
    return { text };
  } catch (failure) {
    const error = xgrammar.explain(failure);
    const isFault = !(error instanceof GrammarError);
    if (isFault || ++failures === MOST_FAILURES) startAgain();
    return isFault ? { fault: error.message } : { message: error.message, path: error.path };
  }
}

function startAgain(): void {
  failures = 0;
  xgrammar = loadXGrammar();
  compiler = new Compiler(xgrammar, vocabulary);
  createMatcher = matchersFor(xgrammar, vocabulary);
}
