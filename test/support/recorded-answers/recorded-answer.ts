import type { ToolDefinition } from '../../../src/serving/types.js';

/** An answer as a model of the format writes it, special tokens included, and what it comes apart into. */
export interface RecordedAnswer {
  what: string;
  /** The end of the prompt; default ''. */
  prompt?: string;
  answer: string;
  text?: string;
  reasoning?: string;
  /** Name and exact text of the arguments. */
  calls?: readonly (readonly [name: string, args: string])[];
  /** Not what tools and their schemas allow: a grammar would not have let it through. */
  broken?: boolean;
}

/** What all recorded answers may call. */
export const TOOLS: readonly ToolDefinition[] = [
  {
    name: 'get_weather',
    description: 'The weather at a place',
    parameters: {
      type: 'object',
      properties: {
        city: { type: 'string' },
        unit: { enum: ['celsius', 'fahrenheit'] },
        days: { type: 'integer' },
        hourly: { type: 'boolean' },
      },
      required: ['city'],
    },
  },
  {
    name: 'search_notes',
    description: 'Looks for notes',
    parameters: {
      type: 'object',
      properties: {
        query: { type: 'string' },
        tags: { type: 'array', items: { type: 'string' } },
        limit: { type: 'number' },
        options: { type: 'object', properties: { exact: { type: 'boolean' } } },
      },
      required: ['query'],
    },
  },
  { name: 'current_time', description: 'The time', parameters: { type: 'object', properties: {} } },
];
