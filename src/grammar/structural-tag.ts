import { mendClasses, renameToRoot } from './ebnf-text.js';
import { GrammarError } from './grammar-error.js';
import { jsonSchemaToEbnf } from './json-schema.js';
import { regexGrammar } from './regex.js';
import type { XGrammar } from './xgrammar.js';

/**
 * EBNF of a structural tag: free text with tags whose contents have a form. XGrammar converts it, but for the schemas
 * and regular expressions in it, which are ours.
 * @param format of the tag, as XGrammar defines it
 * @throws GrammarError
 */
export async function structuralTagToEbnf(format: unknown, xgrammar: XGrammar): Promise<string> {
  const structuralTag = { type: 'structural_tag', format: withGrammars(format, '.format') };
  try {
    const grammar = await xgrammar.api.Grammar.fromStructuralTag(structuralTag as Record<string, unknown>);
    const ebnf = grammar.toString().trim();
    grammar.dispose();
    return mendClasses(renameToRoot(ebnf, lastRule(ebnf)));
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

/** The format with each schema and regular expression replaced by its grammar. */
function withGrammars(format: unknown, path: string): unknown {
  if (Array.isArray(format)) return format.map((part, i) => withGrammars(part, `${path}[${i}]`));
  if (typeof format !== 'object' || format === null) return format;
  const { type, json_schema, pattern, grammar } = format as Record<string, unknown>;
  switch (type) {
    case 'json_schema':
      return inGrammar(() => jsonSchemaToEbnf(json_schema ?? true, { strict: false }), `${path}.json_schema`);
    case 'regex':
      return inGrammar(() => regexGrammar(textOf(pattern)), `${path}.pattern`);
    case 'grammar':
      return inGrammar(() => mendClasses(textOf(grammar)), `${path}.grammar`);
    case 'const_string':
      return format;
    default:
      return Object.fromEntries(
        Object.entries(format).map(([key, part]) => [key, withGrammars(part, `${path}.${key}`)]),
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
