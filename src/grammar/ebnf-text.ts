import { charClass, charSetOf } from './char-set.js';
import { Rules } from './ebnf.js';
import { GrammarError } from './grammar-error.js';

/** Comments, strings, classes and names of a grammar's text. */
const TOKENS = /#[^\n]*|"(?:[^"\\\n]|\\.)*"|\[(?:[^\]\\]|\\.)*\]|[A-Za-z_][\w.-]*/g;

/**
 * Writes classes with characters beyond ASCII so that XGrammar, which looks at the low byte of a character only, takes
 * them for what they are.
 * @throws GrammarError when a class cannot be written
 */
export function mendClasses(ebnf: string): string {
  const names = new Set(ebnf.match(TOKENS));
  const rules = new Rules();
  const mended = ebnf.replace(TOKENS, (token) => {
    if (!token.startsWith('[') || isAscii(token)) return token;
    // A regular expression spells all of it alike but for code points of more than four digits.
    const source = token
      .replace(/\\U([0-9a-fA-F]{8})/g, (_, digits: string) => `\\u{${digits.replace(/^0+(?=.)/, '')}}`)
      .replace(/\\u([0-9a-fA-F]{4})/g, '\\u{$1}')
      .replace(/\\([^ux\\\]^\-nrtfv0dDwWsS/.*+?()[{}|$])/g, '$1')
      .replace(/(?<!^|\\)\[/g, '\\[');
    try {
      return charClass(charSetOf(source), 'text', rules);
    } catch (error) {
      throw error instanceof GrammarError ? error : new GrammarError(`${token} is not a class of characters`);
    }
  });
  return rules.appendTo(mended, names);
}

function isAscii(token: string): boolean {
  const codes = [...token.matchAll(/\\U([0-9a-fA-F]{8})|\\u([0-9a-fA-F]{4})|\\x([0-9a-fA-F]{2})/g)];
  return (
    // biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII is meant
    /^[\x00-\x7f]*$/.test(token) && codes.every(([, ...digits]) => Number.parseInt(digits.find(Boolean)!, 16) < 0x80)
  );
}

/** Gives a rule the name `root`, and another one to the rule that has it. */
export function renameToRoot(ebnf: string, rule: string): string {
  if (rule === 'root') return ebnf;
  const names = new Set(ebnf.match(TOKENS));
  let other = 'inner_root';
  while (names.has(other)) other += '_';
  return ebnf.replace(TOKENS, (token) => (token === rule ? 'root' : token === 'root' ? other : token));
}
