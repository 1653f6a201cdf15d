import { mendClasses, renameToRoot } from './ebnf-text.js';
import type { GrammarText } from './grammar.js';
import { GrammarError } from './grammar-error.js';
import { jsonSchemaToEbnf } from './json-schema.js';
import { LengthSymbols } from './length-symbols.js';
import { regexGrammar } from './regex.js';
import { FORM_SLOT } from './structural-tag-format.js';
import type { XGrammar } from './xgrammar.js';

/**
 * The grammar of a structural tag: free text with tags whose contents have a form. XGrammar converts it, but for the schemas
 * and regular expressions in it, which are ours.
 * @param format of the tag, as XGrammar defines it
 * @param form What FORM_SLOT stands for.
 * @throws GrammarError
 */
export async function structuralTagGrammar(
  format: unknown,
  xgrammar: XGrammar,
  form?: GrammarText,
): Promise<GrammarText> {
  const symbols = new LengthSymbols(form?.lengths);
  const structuralTag = {
    type: 'structural_tag',
    format: withGrammars(format, { symbols, form: form?.ebnf }, '.format'),
  };
  try {
    const grammar = await xgrammar.api.Grammar.fromStructuralTag(structuralTag as Record<string, unknown>);
    const ebnf = grammar.toString().trim();
    grammar.dispose();
    return { ebnf: mendClasses(renameToRoot(ebnf, lastRule(ebnf))), lengths: symbols.bounds };
  } catch (error) {
    throw xgrammar.explain(error);
  }
}

/** XGrammar adds the root at the end, under a name that no part has yet. */
function lastRule(ebnf: string): string {
  const rules = [...ebnf.matchAll(/^(\w+) ::= /gm)];
  const name = rules.at(-1)?.[1];
  if (name === undefined || !/^root(_\d+)?$/.test(name)) throw new Error('a structural tag without a root');
  return name;
}

interface Contents {
  symbols: LengthSymbols;
  /** EBNF of what FORM_SLOT stands for. */
  form?: string;
}

/** The format with each schema and regular expression replaced by its grammar. */
function withGrammars(format: unknown, contents: Contents, path: string): unknown {
  if (Array.isArray(format)) return format.map((part, i) => withGrammars(part, contents, `${path}[${i}]`));
  if (typeof format !== 'object' || format === null) return format;
  const { type, json_schema, pattern, grammar } = format as Record<string, unknown>;
  switch (type) {
    case 'json_schema':
      return inGrammar(
        () => jsonSchemaToEbnf(json_schema ?? true, { strict: false, symbols: contents.symbols }),
        `${path}.json_schema`,
      );
    case 'regex':
      return inGrammar(() => regexGrammar(textOf(pattern)), `${path}.pattern`);
    case 'grammar':
      if (grammar === FORM_SLOT.grammar && contents.form !== undefined) return { type, grammar: contents.form };
      return inGrammar(() => mendClasses(textOf(grammar)), `${path}.grammar`);
    case 'const_string':
      return format;
    default:
      return Object.fromEntries(
        Object.entries(format).map(([key, part]) => [key, withGrammars(part, contents, `${path}.${key}`)]),
      );
  }
}

function inGrammar(convert: () => string, path: string): unknown {
  try {
    return { type: 'grammar', grammar: convert() };
  } catch (error) {
    if (error instanceof GrammarError) throw new GrammarError(error.message, `${path}${error.path}`);
    throw error;
  }
}

function textOf(value: unknown): string {
  if (typeof value !== 'string') throw new GrammarError('must be a string');
  return value;
}
