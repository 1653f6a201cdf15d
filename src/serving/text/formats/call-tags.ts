import type { StructuralTagFormat, TagFormat } from '../../../grammar/index.js';
import type { ToolDefinition, ToolUse } from '../../types.js';

/** Calls as XGrammar's structural tags. */
export interface CallTags {
  /** What ends free text: each tag that may come then begins with one of these. */
  readonly triggers: readonly string[];
  /** Around all calls of an answer; left out: each call stands by itself. */
  readonly section?: { begin: string; end: string };
  /** Between calls where nothing else may be; '' where models write nothing, which XGrammar takes as anything. */
  readonly separator: string;
  /** One call, arguments matching the tool's schema. */
  call(tool: ToolDefinition): TagFormat;
}

/** Answers that call tools as `use` asks for; free text comes before the calls if the choice is `auto`. */
export function callsFormat(tags: CallTags, use: ToolUse): StructuralTagFormat {
  const { definitions, choice, parallel } = use;
  const named = typeof choice === 'object' ? choice.name : undefined;
  const calls = definitions.filter(({ name }) => named === undefined || name === named).map(tags.call);
  const onlyOne = !parallel || named !== undefined;
  const some: StructuralTagFormat =
    tags.separator === ''
      ? {
          type: 'triggered_tags',
          triggers: [...tags.triggers],
          tags: calls,
          ...AT_LEAST_ONE,
          stop_after_first: onlyOne,
        }
      : {
          type: 'tags_with_separator',
          tags: calls,
          separator: tags.separator,
          ...AT_LEAST_ONE,
          stop_after_first: onlyOne,
        };
  const section: TagFormat | undefined = tags.section && { type: 'tag', ...tags.section, content: some };
  if (choice !== 'auto') return section ?? some;
  return {
    type: 'triggered_tags',
    triggers: [...tags.triggers],
    tags: section === undefined ? calls : [section],
    at_least_one: false,
    stop_after_first: onlyOne || section !== undefined,
  };
}

const AT_LEAST_ONE = { at_least_one: true };

/** A call that is the arguments between two texts. */
export function argumentsTag(begin: string, tool: ToolDefinition, end: string): TagFormat {
  return { type: 'tag', begin, content: { type: 'json_schema', json_schema: argumentsSchema(tool) }, end };
}

/** A call that is a JSON object with a name and arguments. */
export function objectTag(tool: ToolDefinition, argumentsKey: string): TagFormat {
  return argumentsTag(`{"name": ${JSON.stringify(tool.name)}, "${argumentsKey}": `, tool, '}');
}

export function argumentsSchema({ parameters }: ToolDefinition): Record<string, unknown> {
  return parameters ?? { type: 'object' };
}
