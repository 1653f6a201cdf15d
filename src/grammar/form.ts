import { Rules } from './ebnf.js';
import { mendClasses } from './ebnf-text.js';
import type { GrammarText } from './grammar.js';
import { GrammarError } from './grammar-error.js';
import { jsonSchemaGrammar } from './json-schema.js';
import { regexGrammar } from './regex.js';
import { structuralTagGrammar } from './structural-tag.js';
import type { XGrammar } from './xgrammar.js';

/** What a text has to look like, in one of the ways that clients say it. */
export type Form =
  | { kind: 'json_object' }
  | { kind: 'json_schema'; schema: boolean | Record<string, unknown>; strict: boolean }
  | { kind: 'regex'; pattern: string }
  | { kind: 'choice'; choices: readonly string[] }
  /** EBNF with a rule `root`. */
  | { kind: 'grammar'; grammar: string }
  /** A structural tag as XGrammar defines it. */
  | { kind: 'structural_tag'; tag: Record<string, unknown> }
  /** A form with a structural tag around it, in whose `format` FORM_SLOT stands for it. */
  | { kind: 'within'; form: Form; tag: Record<string, unknown> };

/** @throws GrammarError */
export async function formToGrammar(form: Form, xgrammar: XGrammar): Promise<GrammarText> {
  switch (form.kind) {
    case 'json_object':
      return jsonSchemaGrammar({ type: 'object' }, { strict: false });
    case 'json_schema':
      return jsonSchemaGrammar(form.schema, form);
    case 'regex':
      return plain(regexGrammar(form.pattern));
    case 'choice':
      if (form.choices.length === 0) throw new GrammarError('there must be at least one choice');
      return plain(choiceGrammar(form.choices));
    case 'grammar':
      return plain(mendClasses(form.grammar));
    case 'structural_tag':
      return await structuralTagGrammar(formatOf(form.tag), xgrammar);
    case 'within':
      return await structuralTagGrammar(formatOf(form.tag), xgrammar, await formToGrammar(form.form, xgrammar));
  }
}

function formatOf({ format }: Record<string, unknown>): object {
  if (typeof format !== 'object' || format === null) throw new GrammarError('must be an object', '.format');
  return format;
}

function plain(ebnf: string): GrammarText {
  return { ebnf, lengths: [] };
}

function choiceGrammar(choices: readonly string[]): string {
  const rules = new Rules();
  return rules.grammar(rules.texts(choices));
}
