import { genericAnswers, hermesAnswers } from './hermes.js';
import type { RecordedAnswer } from './recorded-answer.js';

export { type RecordedAnswer, TOOLS } from './recorded-answer.js';

/** By the name of the format: the part of a chat template that tells it, and answers. */
export const RECORDED: Readonly<Record<string, { template: string; answers: readonly RecordedAnswer[] }>> = {
  hermes: { template: '{% if tools %}<tool_call></tool_call>{% endif %}', answers: hermesAnswers },
  generic: { template: '{{ messages[0].content }}', answers: genericAnswers },
};
