import { type AST, RegExpParser } from '@eslint-community/regexpp';
import { charClass, charSetOf, type Writing, written } from './char-set.js';
import { anyOf, Rules, repeat } from './ebnf.js';
import { GrammarError } from './grammar-error.js';

/**
 * EBNF of all texts that match an ECMAScript regular expression as a whole, whether it is anchored or not.
 *
 * XGrammar's own conversion takes classes beyond ASCII for bytes, and writes quotes into JSON strings as they are.
 *
 * @param writing `json`: the texts are contents of JSON strings
 * @param rules receives further rules
 * @throws GrammarError for what is not a regular expression, or not a regular one
 */
export function regexToEbnf(pattern: string, writing: Writing, rules: Rules): string {
  let parsed: AST.Pattern;
  try {
    parsed = new RegExpParser({ ecmaVersion: 2024 }).parsePattern(pattern, 0, pattern.length, { unicode: true });
  } catch (error) {
    throw new GrammarError(`is not a regular expression: ${(error as Error).message}`);
  }
  return new Conversion(writing, rules).alternatives(parsed.alternatives, { begin: true, end: true });
}

/** A grammar of the texts that match. @throws GrammarError */
export function regexGrammar(pattern: string): string {
  const rules = new Rules();
  return rules.grammar(regexToEbnf(pattern, 'text', rules));
}

/** Whether nothing of the text can lie before, or after, what is looked at. */
interface Edges {
  begin: boolean;
  end: boolean;
}

class Conversion {
  private readonly writing: Writing;

  private readonly rules: Rules;

  constructor(writing: Writing, rules: Rules) {
    this.writing = writing;
    this.rules = rules;
  }

  alternatives(alternatives: readonly AST.Alternative[], edges: Edges): string {
    const ways = alternatives.map(({ elements }) => this.sequence(elements, edges));
    return ways.length === 1 ? ways[0]! : anyOf(ways.map((way) => this.rules.separate(way)));
  }

  private sequence(elements: readonly AST.Element[], edges: Edges): string {
    const isAnchor = (element: AST.Element | undefined): boolean => element?.type === 'Assertion';
    const parts = elements.map((element, i) =>
      this.element(element, {
        begin: edges.begin && elements.slice(0, i).every(isAnchor),
        end: edges.end && elements.slice(i + 1).every(isAnchor),
      }),
    );
    return parts.filter((part) => part !== '').join(' ') || '""';
  }

  private element(element: AST.Element, edges: Edges): string {
    switch (element.type) {
      case 'Assertion':
        if ((element.kind === 'start' && edges.begin) || (element.kind === 'end' && edges.end)) return '';
        throw new GrammarError(
          `${element.raw} cannot be enforced: anchors at both ends are all that a grammar can have`,
        );
      case 'Quantifier':
        return repeat(this.element(element.element, { begin: false, end: false }), element.min, element.max);
      case 'Group':
        if (element.modifiers) throw new GrammarError(`${element.raw} cannot be enforced: flags are not supported`);
        return `(${this.alternatives(element.alternatives, edges)})`;
      case 'CapturingGroup':
        return `(${this.alternatives(element.alternatives, edges)})`;
      case 'Character':
        return written(String.fromCodePoint(element.value), this.writing);
      case 'CharacterSet':
      case 'CharacterClass':
      case 'ExpressionCharacterClass':
        return charClass(charSetOf(element.raw), this.writing, this.rules);
      case 'Backreference':
        throw new GrammarError(`${element.raw} cannot be enforced: a grammar does not remember what it matched`);
    }
  }
}
