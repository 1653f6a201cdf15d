import type { OutputFormat } from '../output-format.js';
import type { CallSyntax } from './call-syntax.js';
import { createFormat } from './create-format.js';
import { genericCalls } from './generic.js';
import { hermesCalls } from './hermes.js';
import { THINK } from './reasoning.js';
import { templateKnowsTools } from './template-source.js';

/** One family's way to write calls, and the texts in its chat templates that tell it. */
interface KnownSyntax {
  name: string;
  calls: CallSyntax;
  /** All of these are in the source. */
  markers: readonly string[];
}

/** The first one whose markers are there is it. */
const KNOWN: readonly KnownSyntax[] = [{ name: 'hermes', calls: hermesCalls, markers: ['<tool_call>'] }];

/**
 * How answers to chats with this template write reasoning and calls.
 *
 * @param source Jinja source; left out: the model has none.
 */
export function detectOutputFormat(source = ''): OutputFormat {
  const known = templateKnowsTools(source)
    ? KNOWN.find(({ markers }) => markers.every((marker) => source.includes(marker)))
    : undefined;
  const { name, calls } = known ?? { name: 'generic', calls: genericCalls };
  return createFormat({ name, calls, reasoning: THINK });
}
