import { FORM_SLOT, type Form, type Grammar, GrammarError, type GrammarMaker } from '../grammar/index.js';
import { RequestError } from './errors.js';
import type { OutputFormat, Tokenizer } from './text/index.js';
import type { GenerationRequest } from './types.js';

/** What grammars of answers are made with. */
export interface GrammarParts {
  grammars: GrammarMaker;
  tokenizer: Tokenizer;
  format?: OutputFormat;
}

/**
 * The grammar of the answer to a request: that of the form it asks for, behind the reasoning of a model that thinks, or
 * else that of tool calls; null when it may be any text.
 * @param rendered The prompt of a chat as text.
 * @throws RequestError naming the field and the place in it
 */
export async function answerGrammar(
  { structuredOutput, tools, prompt }: GenerationRequest,
  { grammars, tokenizer, format }: GrammarParts,
  rendered: string,
): Promise<Grammar | null> {
  const markup = (): number[] => format?.markupTokens.flatMap((text) => tokenizer.specialToken(text) ?? []) ?? [];
  if (structuredOutput !== undefined) {
    const { param = 'response_format', ...form } = structuredOutput;
    const around = prompt.kind === 'chat' ? format?.formTag(FORM_SLOT, rendered) : undefined;
    if (around === undefined || around === FORM_SLOT) return await make(grammars, form, [], param);
    return await make(grammars, { kind: 'within', form, tag: { format: around } }, markup(), param);
  }
  if (format === undefined || prompt.kind !== 'chat' || tools === undefined) return null;
  if (tools.choice === 'none' || tools.definitions.length === 0) return null;
  const tag = { type: 'structural_tag', format: format.toolCallTag(tools, rendered) };
  return await make(grammars, { kind: 'structural_tag', tag }, markup(), 'tools');
}

async function make(
  grammars: GrammarMaker,
  form: Form,
  textTokens: readonly number[],
  param: string,
): Promise<Grammar> {
  try {
    return await grammars.make(form, textTokens);
  } catch (error) {
    if (!(error instanceof GrammarError)) throw error;
    throw new RequestError(`${param}${error.path}: ${error.message}`, { param: `${param}${error.path}` });
  }
}
