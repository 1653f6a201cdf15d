import {
  functionTagAnswers,
  glmAnswers,
  lfmAnswers,
  minimaxM2Answers,
  qwenCoderAnswers,
  seedAnswers,
} from './argument-lists.js';
import { genericAnswers, hermesAnswers } from './hermes.js';
import {
  cohereAnswers,
  functoolsAnswers,
  graniteAnswers,
  minimaxAnswers,
  mistralListAnswers,
  nemotronAnswers,
  phiAnswers,
} from './json-lists.js';
import {
  deepseekV3Answers,
  deepseekV31Answers,
  harmonyAnswers,
  kimiAnswers,
  llamaAnswers,
  mistralAnswers,
} from './named-calls.js';
import type { RecordedAnswer } from './recorded-answer.js';

export { type RecordedAnswer, TOOLS } from './recorded-answer.js';

/** Answers of one format. */
export interface RecordedFormat {
  name: string;
  /** What tells it in a chat template. */
  template: string;
  answers: readonly RecordedAnswer[];
}

const format = (name: string, markers: string, answers: readonly RecordedAnswer[]): RecordedFormat => ({
  name,
  template: `{% if tools %}${markers}{% endif %}`,
  answers,
});

export const RECORDED: readonly RecordedFormat[] = [
  format('hermes', '<tool_call></tool_call>', hermesAnswers),
  { name: 'generic', template: '{{ messages[0].content }}', answers: genericAnswers },
  format('granite', '<|tool_call|> <think></think><response></response>', graniteAnswers),
  format('phi4_mini_json', '<|tool_call|><|/tool_call|>', phiAnswers),
  format('functools', 'functools[', functoolsAnswers),
  format('nemotron', '<TOOLCALL>', nemotronAnswers),
  format('minimax', '<tool_calls>', minimaxAnswers),
  format('cohere', '<|START_THINKING|><|START_ACTION|>', cohereAnswers),
  format('mistral', '[TOOL_CALLS][', mistralListAnswers),
  format('mistral', '[TOOL_CALLS] [ARGS] [THINK]', mistralAnswers),
  format('deepseek_v3', '<｜tool▁calls▁begin｜> ```json', deepseekV3Answers),
  format('deepseek_v31', '<｜tool▁calls▁begin｜>', deepseekV31Answers),
  format('kimi_k2', '<|tool_calls_section_begin|>', kimiAnswers),
  format('llama3_json', '<|start_header_id|> "parameters": ', llamaAnswers),
  format('openai', '<|channel|><|message|>functions.', harmonyAnswers),
  format('qwen3_coder', '<tool_call><function=', qwenCoderAnswers),
  format('seed_oss', '<seed:tool_call><function=<seed:think>', seedAnswers),
  format('glm45', '<tool_call><arg_key>', glmAnswers),
  format('minimax_m2', '<minimax:tool_call><invoke name=', minimaxM2Answers),
  format('functionary_v3', '<function=', functionTagAnswers),
  format('lfm2', '<|tool_call_start|>', lfmAnswers),
];
