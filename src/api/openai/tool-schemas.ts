import { z } from '@hono/zod-openapi';
import type { ToolUse } from '../../serving/index.js';

const FunctionName = z.string().regex(/^[\w.-]{1,64}$/, {
  error: 'must be 1 to 64 letters, digits, underscores, dots or dashes',
});

export const Tool = z
  .looseObject({
    type: z.literal('function', { error: 'must be "function": this server runs no tools of its own' }),
    function: z.looseObject({
      name: FunctionName,
      description: z.string().nullish(),
      parameters: z.record(z.string(), z.unknown()).nullish().describe('JSON Schema of the arguments.'),
      strict: z.boolean().nullish().describe('Accepted, without effect: arguments always match their schema.'),
    }),
  })
  .openapi('Tool');

export const ToolChoice = z
  .union([
    z.enum(['none', 'auto', 'required']),
    z.looseObject({ type: z.literal('function'), function: z.looseObject({ name: z.string() }) }),
  ])
  .openapi('ToolChoice');

interface ToolFields {
  tools?: z.infer<typeof Tool>[] | null;
  tool_choice?: z.infer<typeof ToolChoice> | null;
  parallel_tool_calls?: boolean | null;
}

/** Undefined where there are no tools. */
export function toToolUse({ tools, tool_choice, parallel_tool_calls }: ToolFields): ToolUse | undefined {
  if (tools == null || tools.length === 0) return undefined;
  return {
    definitions: tools.map(({ function: { name, description, parameters } }) => ({
      name,
      description: description ?? undefined,
      parameters: parameters ?? undefined,
    })),
    choice: typeof tool_choice === 'object' && tool_choice !== null ? tool_choice.function : (tool_choice ?? 'auto'),
    parallel: parallel_tool_calls ?? true,
  };
}
