import type { CompiledGrammar, GrammarCompiler } from '@mlc-ai/web-xgrammar';
import type { Grammar } from './grammar.js';
import { SYMBOL_TEXTS } from './length-symbols.js';
import { byteLevelText, byteLevelTokens, type PackedVocabulary } from './vocabulary.js';
import type { XGrammar } from './xgrammar.js';

/** A grammar, and the bytes of the special tokens that are text in it. */
export interface GrammarSource extends Omit<Grammar, 'textTokens'> {
  textTokens: ReadonlyArray<readonly [token: number, bytes: Uint8Array]>;
}

/** Compiles grammars for one vocabulary, and for {@link SYMBOL_TEXTS}, which follow on its tokens. */
export class Compiler {
  private readonly xgrammar: XGrammar;
  private readonly vocabulary: PackedVocabulary;
  /** By the special tokens that are text: what XGrammar prepares of a vocabulary, which takes it 0.2 s of a large one. */
  private readonly compilers = new Map<string, Promise<GrammarCompiler>>();

  constructor(xgrammar: XGrammar, vocabulary: PackedVocabulary) {
    this.xgrammar = xgrammar;
    this.vocabulary = vocabulary;
  }

  /**
   * To be disposed of by the caller.
   * @throws GrammarError when it is not a grammar
   */
  async compile({ ebnf, textTokens }: Omit<GrammarSource, 'lengths'>): Promise<CompiledGrammar> {
    const { Grammar } = this.xgrammar.api;
    try {
      const grammar = await Grammar.fromEBNF(ebnf);
      try {
        return await (await this.compilerFor(textTokens)).compileGrammar(grammar);
      } finally {
        grammar.dispose();
      }
    } catch (error) {
      throw this.xgrammar.explain(error);
    }
  }

  private compilerFor(textTokens: GrammarSource['textTokens']): Promise<GrammarCompiler> {
    const key = textTokens.map(([token]) => token).join();
    const known = this.compilers.get(key);
    if (known !== undefined) return known;
    const { TokenizerInfo, GrammarCompiler } = this.xgrammar.api;
    const { endTokens } = this.vocabulary;
    const symbols = SYMBOL_TEXTS.map((text) => byteLevelText(Buffer.from(text)));
    const tokens = [...byteLevelTokens(this.vocabulary, new Map(textTokens)), ...symbols];
    const made = TokenizerInfo.createTokenizerInfo(tokens, 'byte_level', false, tokens.length, [...endTokens]).then(
      // Compiled grammars are kept by whoever asks for them.
      (info) => GrammarCompiler.createGrammarCompiler(info, false),
    );
    this.compilers.set(key, made);
    return made;
  }
}
