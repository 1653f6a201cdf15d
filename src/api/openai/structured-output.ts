import { z } from '@hono/zod-openapi';
import type { StructuredOutput } from '../../serving/index.js';
import { parseJson } from '../access/index.js';
import { boundedArray } from './bounded-array.js';

/**
 * All the ways in which clients say what an answer has to look like: OpenAI's `response_format`, vLLM's
 * `structured_outputs` and its older `guided_…`, and llama-server's `json_schema` and `grammar`. At most one of them.
 */

const MAX_CHOICES = 10_000;

const Schema = z
  .union([z.record(z.string(), z.unknown()), z.boolean()], { error: 'must be a JSON Schema: an object or a boolean' })
  .openapi({ type: ['object', 'boolean'] });

/** vLLM's clients send schemas and tags as objects or as their JSON. */
function orItsJson<T extends z.ZodType>(type: T) {
  return z.preprocess((value, context) => {
    if (typeof value !== 'string') return value;
    try {
      return parseJson(value);
    } catch {
      context.addIssue({ code: 'custom', message: 'must be an object, or the JSON of one', input: value });
      return value;
    }
  }, type);
}

const Choices = boundedArray(z.string().min(1), { min: 1, max: MAX_CHOICES });

const JsonSchemaFormat = z.looseObject({
  name: z.string().max(64).nullish(),
  description: z.string().nullish().describe('Accepted, without effect.'),
  schema: Schema.nullish().describe('Left out: any JSON value.'),
  strict: z.boolean().nullish().describe('Refuse schemas with keywords that cannot be enforced (default false).'),
});

const StructuralTag = z
  .looseObject({
    format: z.record(z.string(), z.unknown()).nullish(),
    structures: boundedArray(z.looseObject({ begin: z.string(), schema: Schema.nullish(), end: z.string() }), {
      max: 1024,
    })
      .nullish()
      .describe("With `triggers`: vLLM's older form."),
    triggers: boundedArray(z.string().min(1), { min: 1, max: 1024 }).nullish(),
  })
  .refine((tag) => tag.format != null || (tag.structures != null && tag.triggers != null), {
    error: 'must have a `format`, or `structures` and `triggers`',
  });

const ResponseFormat = z.discriminatedUnion(
  'type',
  [
    z.looseObject({ type: z.literal('text') }),
    z.looseObject({ type: z.literal('json_object'), schema: Schema.nullish().describe("llama-server's extension.") }),
    z.looseObject({ type: z.literal('json_schema'), json_schema: JsonSchemaFormat }),
    StructuralTag.safeExtend({ type: z.literal('structural_tag') }),
  ],
  { error: 'must have the type "text", "json_object", "json_schema" or "structural_tag"' },
);

const STRUCTURED_OUTPUTS = ['json', 'regex', 'choice', 'grammar', 'json_object', 'structural_tag'] as const;

const StructuredOutputs = z
  .looseObject({
    json: orItsJson(Schema).nullish(),
    regex: z.string().min(1).nullish(),
    choice: Choices.nullish(),
    grammar: z.string().min(1).nullish(),
    json_object: z.boolean().nullish(),
    structural_tag: orItsJson(StructuralTag).nullish(),
  })
  .refine(
    (outputs) => STRUCTURED_OUTPUTS.filter((key) => outputs[key] != null && outputs[key] !== false).length === 1,
    {
      error: `must have exactly one of ${STRUCTURED_OUTPUTS.join(', ')}`,
    },
  );

export const structuredOutputFields = {
  response_format: ResponseFormat.nullish().describe('What the answer has to look like; enforced.'),
  structured_outputs: StructuredOutputs.nullish().describe("The same in vLLM's form."),
  guided_json: orItsJson(Schema).nullish().describe("vLLM's older name of `structured_outputs.json`."),
  guided_regex: z.string().min(1).nullish().describe('… of `structured_outputs.regex`.'),
  guided_choice: Choices.nullish().describe('… of `structured_outputs.choice`.'),
  guided_grammar: z.string().min(1).nullish().describe('… of `structured_outputs.grammar`.'),
  json_schema: Schema.nullish().describe("llama-server's form of a JSON Schema."),
  grammar: z.string().nullish().describe("llama-server's GBNF, with a rule `root`; empty: none."),
};

type Fields = z.infer<z.ZodObject<typeof structuredOutputFields>>;

/** For `superRefine` of a request. */
export function refuseSeveralForms(body: Record<string, unknown>, context: z.RefinementCtx): void {
  const fields = Object.keys(structuredOutputFields).filter((field) => {
    const value = body[field];
    return value != null && value !== '' && (value as { type?: unknown }).type !== 'text';
  });
  if (fields.length < 2) return;
  context.addIssue({ code: 'custom', path: [fields[1]!], message: `is not allowed together with \`${fields[0]}\`` });
}

export function toStructuredOutput(body: Fields): StructuredOutput | undefined {
  const { response_format: format, structured_outputs: outputs } = body;
  const jsonSchema = (schema: z.infer<typeof Schema>, param: string, strict = false): StructuredOutput => ({
    kind: 'json_schema',
    schema,
    strict,
    param,
  });
  const given = [
    format != null && fromResponseFormat(format, jsonSchema),
    outputs != null && fromStructuredOutputs(outputs, jsonSchema),
    body.guided_json != null && jsonSchema(body.guided_json, 'guided_json'),
    body.guided_regex != null && { kind: 'regex' as const, pattern: body.guided_regex, param: 'guided_regex' },
    body.guided_choice != null && { kind: 'choice' as const, choices: body.guided_choice, param: 'guided_choice' },
    body.guided_grammar != null && { kind: 'grammar' as const, grammar: body.guided_grammar, param: 'guided_grammar' },
    body.json_schema != null && jsonSchema(body.json_schema, 'json_schema'),
    !!body.grammar && { kind: 'grammar' as const, grammar: body.grammar, param: 'grammar' },
  ];
  return given.find((form) => form !== false && form !== undefined) || undefined;
}

type JsonSchema = (schema: z.infer<typeof Schema>, param: string, strict?: boolean) => StructuredOutput;

function fromResponseFormat(
  format: z.infer<typeof ResponseFormat>,
  jsonSchema: JsonSchema,
): StructuredOutput | undefined {
  switch (format.type) {
    case 'text':
      return undefined;
    case 'json_object':
      if (format.schema != null) return jsonSchema(format.schema, 'response_format.schema');
      return { kind: 'json_object', param: 'response_format' };
    case 'json_schema': {
      const { schema, strict } = format.json_schema;
      return jsonSchema(schema ?? true, 'response_format.json_schema.schema', strict ?? false);
    }
    case 'structural_tag':
      return { kind: 'structural_tag', tag: toTag(format), param: 'response_format' };
  }
}

function fromStructuredOutputs(outputs: z.infer<typeof StructuredOutputs>, jsonSchema: JsonSchema): StructuredOutput {
  const param = (key: string): string => `structured_outputs.${key}`;
  if (outputs.json != null) return jsonSchema(outputs.json, param('json'));
  if (outputs.regex != null) return { kind: 'regex', pattern: outputs.regex, param: param('regex') };
  if (outputs.choice != null) return { kind: 'choice', choices: outputs.choice, param: param('choice') };
  if (outputs.grammar != null) return { kind: 'grammar', grammar: outputs.grammar, param: param('grammar') };
  if (outputs.structural_tag == null) return { kind: 'json_object', param: param('json_object') };
  return { kind: 'structural_tag', tag: toTag(outputs.structural_tag), param: param('structural_tag') };
}

/** A structural tag as XGrammar has it today. */
function toTag({ format, structures, triggers }: z.infer<typeof StructuralTag>): Record<string, unknown> {
  if (format != null) return { type: 'structural_tag', format };
  const tags = (structures ?? []).map(({ begin, schema, end }) => ({
    type: 'tag',
    begin,
    content: { type: 'json_schema', json_schema: schema ?? true },
    end,
  }));
  return { type: 'structural_tag', format: { type: 'triggered_tags', triggers, tags } };
}
