import { randomInt } from 'node:crypto';
import type { GenerationRequest, Prompt, Serving } from '../../serving/index.js';
import type { GenerateBody, WireParameters } from './schemas.js';

/** What a request comes to, and what its answer needs to know of it. */
export interface GenerateJob {
  request: GenerationRequest;
  inputs: string;
  parameters: WireParameters;
  /** Null when nothing is left to chance. */
  seed: number | null;
}

/** @param withTokens Whether the answer tells tokens, asked for or not. */
export function toJob(id: string, body: GenerateBody, withTokens: boolean, serving: Serving): GenerateJob {
  const parameters = body.parameters ?? {};
  const seed = samples(body) ? (parameters.seed ?? randomInt(2 ** 32)) : null;
  const tells = withTokens || parameters.details === true;
  return {
    inputs: body.inputs,
    parameters,
    seed,
    request: {
      id,
      prompt: toPrompt(body, serving),
      stop: parameters.stop ?? undefined,
      includeStopInOutput: true,
      structuredOutput: toStructuredOutput(parameters.grammar),
      sampling: {
        temperature: seed === null ? 0 : (parameters.temperature ?? 1),
        topK: parameters.top_k ?? undefined,
        topP: parameters.top_p ?? undefined,
        typicalP: parameters.typical_p ?? undefined,
        repetitionPenalty: parameters.repetition_penalty ?? undefined,
        frequencyPenalty: parameters.frequency_penalty ?? undefined,
        seed: seed ?? undefined,
        maxTokens: parameters.max_new_tokens ?? undefined,
        logprobs: tells ? (parameters.top_n_tokens ?? 0) : null,
      },
    },
  };
}

/** As TGI has it: greedy unless told otherwise, but a request without any parameters samples. */
function samples({ parameters }: GenerateBody): boolean {
  if (parameters == null) return true;
  const { do_sample, temperature, top_k, top_p, typical_p } = parameters;
  return do_sample === true || (temperature ?? 1) !== 1 || top_k != null || top_p != null || typical_p != null;
}

function toPrompt({ inputs, parameters }: GenerateBody, serving: Serving): Prompt {
  const prompt: Prompt = { kind: 'text', text: inputs };
  if (parameters?.truncate == null) return prompt;
  const { tokenIds } = serving.tokenize(undefined, prompt);
  return { kind: 'tokens', tokenIds: Array.from(tokenIds.slice(-parameters.truncate)) };
}

function toStructuredOutput(grammar: WireParameters['grammar']): GenerationRequest['structuredOutput'] {
  if (grammar == null) return undefined;
  if (grammar.type === 'regex') return { kind: 'regex', pattern: grammar.value };
  const [schema, param] =
    grammar.type === 'json_schema'
      ? [grammar.value.schema, 'parameters.grammar.value.schema']
      : [grammar.value, 'parameters.grammar.value'];
  return { kind: 'json_schema', schema, strict: true, param };
}
