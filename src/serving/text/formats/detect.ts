import type { OutputFormat } from '../output-format.js';
import { createMistralCallId } from './answer-output.js';
import type { CallSyntax } from './call-syntax.js';
import { createFormat } from './create-format.js';
import { genericCalls } from './generic.js';
import { harmony } from './harmony.js';
import { hermesCalls } from './hermes.js';
import { cohereCalls, createListCalls } from './list-calls.js';
import { llamaCalls } from './llama.js';
import { mistralCalls, mistralListCalls } from './mistral.js';
import { pythonicCalls } from './pythonic.js';
import type { ReasoningSyntax } from './reasoning.js';
import { deepseekV3Calls, deepseekV31Calls, kimiCalls } from './section-calls.js';
import { templateKnowsTools } from './template-source.js';
import { functionTagCalls, glmCalls, minimaxCalls, qwen3CoderCalls, seedCalls } from './xml-calls.js';

/** One family's way to write calls, and the texts in its chat templates that tell it. */
interface KnownCalls {
  /** As vLLM calls its parser where it has one. */
  name: string;
  calls: CallSyntax;
  createCallId?: () => string;
  /** All of these are in the source. */
  markers: readonly string[];
}

const GENERIC: KnownCalls = { name: 'generic', calls: genericCalls, markers: [] };

/** The first one whose markers are there is it. */
const CALLS: readonly KnownCalls[] = [
  // Its calls look like others', but each marker has a prefix.
  { ...GENERIC, markers: [']<]minimax[>['] },
  { name: 'deepseek_v3', calls: deepseekV3Calls, markers: ['<｜tool▁calls▁begin｜>', '```json'] },
  { name: 'deepseek_v31', calls: deepseekV31Calls, markers: ['<｜tool▁calls▁begin｜>'] },
  { name: 'kimi_k2', calls: kimiCalls, markers: ['<|tool_calls_section_begin|>'] },
  { name: 'mistral', calls: mistralCalls, createCallId: createMistralCallId, markers: ['[TOOL_CALLS]', '[ARGS]'] },
  { name: 'mistral', calls: mistralListCalls, createCallId: createMistralCallId, markers: ['[TOOL_CALLS]'] },
  { name: 'minimax_m2', calls: minimaxCalls, markers: ['<minimax:tool_call>', '<invoke name='] },
  { name: 'glm45', calls: glmCalls, markers: ['<tool_call>', '<arg_key>'] },
  { name: 'seed_oss', calls: seedCalls, markers: ['<seed:tool_call>', '<function='] },
  { name: 'qwen3_coder', calls: qwen3CoderCalls, markers: ['<tool_call>', '<function='] },
  { name: 'functionary_v3', calls: functionTagCalls, markers: ['<function='] },
  { name: 'lfm2', calls: pythonicCalls, markers: ['<|tool_call_start|>'] },
  { name: 'lfm2', calls: pythonicCalls, markers: ['<|tool_list_start|>'] },
  { name: 'lfm2', calls: pythonicCalls, markers: ['List of tools: ['] },
  { name: 'pythonic', calls: pythonicCalls, markers: ['[func_name1('] },
  { name: 'phi4_mini_json', calls: createListCalls('<|tool_call|>', '<|/tool_call|>'), markers: ['<|/tool_call|>'] },
  { name: 'granite', calls: createListCalls('<|tool_call|>'), markers: ['<|tool_call|>'] },
  { name: 'functools', calls: createListCalls('functools'), markers: ['functools['] },
  { name: 'nemotron', calls: createListCalls('<TOOLCALL>', '</TOOLCALL>'), markers: ['<TOOLCALL>'] },
  { name: 'minimax', calls: createListCalls('<tool_calls>', '</tool_calls>'), markers: ['<tool_calls>'] },
  { name: 'cohere', calls: cohereCalls, markers: ['<|START_ACTION|>'] },
  { name: 'hermes', calls: hermesCalls, markers: ['<tool_call>'] },
  { name: 'llama3_json', calls: llamaCalls, markers: ['<|start_header_id|>', '"parameters": '] },
];

/** The first one whose opening marker is in the source is it. */
const REASONING: readonly ReasoningSyntax[] = [
  { open: '[THINK]', close: '[/THINK]' },
  { open: '<seed:think>', close: '</seed:think>' },
  {
    open: '<|START_THINKING|>',
    close: '<|END_THINKING|>',
    answer: { open: '<|START_RESPONSE|>', close: '<|END_RESPONSE|>' },
  },
];

const THINK: ReasoningSyntax = { open: '<think>', close: '</think>' };
const THINK_AND_RESPOND: ReasoningSyntax = { ...THINK, answer: { open: '<response>', close: '</response>' } };

/**
 * How answers to chats with this template write reasoning and calls. Models whose template says nothing of reasoning are
 * taken to write it between `<think>` tags, if at all; those whose template says nothing of tools are told of them in a
 * {@link genericCalls generic} way.
 *
 * @param source Jinja source; left out: the model has none.
 */
export function detectOutputFormat(source = ''): OutputFormat {
  const includes = (marker: string): boolean => source.includes(marker);
  if (['<|channel|>', '<|message|>', 'functions.'].every(includes)) return harmony;
  const known = templateKnowsTools(source) ? CALLS.find(({ markers }) => markers.every(includes)) : undefined;
  const { name, calls, createCallId } = known ?? GENERIC;
  const think = source.includes('<response>') ? THINK_AND_RESPOND : THINK;
  const reasoning = REASONING.find(({ open }) => source.includes(open)) ?? think;
  return createFormat({ name, calls, reasoning, reasons: source.includes(reasoning.open), createCallId });
}
