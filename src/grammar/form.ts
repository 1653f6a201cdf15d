import { Rules } from './ebnf.js';
import { mendClasses } from './ebnf-text.js';
import { GrammarError } from './grammar-error.js';
import { jsonSchemaToEbnf } from './json-schema.js';
import { regexGrammar } from './regex.js';
import { structuralTagToEbnf } from './structural-tag.js';
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
  | { kind: 'structural_tag'; tag: Record<string, unknown> };

/** EBNF of a form. @throws GrammarError */
export async function formToEbnf(form: Form, xgrammar: XGrammar): Promise<string> {
  switch (form.kind) {
    case 'json_object':
      return jsonSchemaToEbnf({ type: 'object' }, { strict: false });
    case 'json_schema':
      return jsonSchemaToEbnf(form.schema, form);
    case 'regex':
      return regexGrammar(form.pattern);
    case 'choice':
      if (form.choices.length === 0) throw new GrammarError('there must be at least one choice');
      return choiceGrammar(form.choices);
    case 'grammar':
      return mendClasses(form.grammar);
    case 'structural_tag': {
      const { format } = form.tag;
      if (typeof format !== 'object' || format === null) throw new GrammarError('must be an object', '.format');
      return await structuralTagToEbnf(format, xgrammar);
    }
  }
}

function choiceGrammar(choices: readonly string[]): string {
  const rules = new Rules();
  return rules.grammar(rules.texts(choices));
}
