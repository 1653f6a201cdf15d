import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { llamaCppSources } from '../../bench/llama-cpp.js';
import { createChatTemplate } from '../../src/serving/text/chat-template.js';
import { detectOutputFormat } from '../../src/serving/text/formats/index.js';
import type { ChatMessage, ToolDefinition, ToolUse } from '../../src/serving/types.js';
import { createFakeVocabulary } from '../support/fake-vocabulary.js';
import { TOOLS } from '../support/recorded-answers/index.js';

/** What calls of a template's model are written in. A template that writes no calls back is not asked to. */
const FORMATS: Readonly<Record<string, string>> = {
  'Bielik-11B-v3.0-Instruct': 'hermes',
  Cohere2MoE: 'cohere',
  'CohereForAI-c4ai-command-r7b-12-2024-tool_use': 'cohere',
  'GLM-4.6': 'glm45',
  'GLM-4.7-Flash': 'glm45',
  'HuggingFaceTB-SmolLM3-3B': 'generic',
  'LFM2.5-8B-A1B': 'lfm2',
  'MiMo-VL': 'hermes',
  'MiniMax-M1': 'minimax',
  'MiniMax-M2': 'minimax_m2',
  'Mistral-Small-3.2-24B-Instruct-2506': 'mistral',
  'NVIDIA-Nemotron-3-Nano-30B-A3B-BF16': 'qwen3_coder',
  'NVIDIA-Nemotron-Nano-v2': 'nemotron',
  'NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use': 'hermes',
  'NousResearch-Hermes-3-Llama-3.1-8B-tool_use': 'hermes',
  'Qwen-QwQ-32B': 'hermes',
  'Qwen-Qwen2.5-7B-Instruct': 'hermes',
  'Qwen-Qwen3-0.6B': 'hermes',
  'Qwen3-Coder': 'qwen3_coder',
  'Qwen3.5-4B': 'qwen3_coder',
  'Reka-Edge': 'hermes',
  'Spark2.5': 'glm45',
  'StepFun3.5-Flash': 'qwen3_coder',
  'deepseek-ai-DeepSeek-R1-Distill-Llama-8B': 'generic',
  'deepseek-ai-DeepSeek-R1-Distill-Qwen-32B': 'generic',
  'deepseek-ai-DeepSeek-V3.1': 'generic',
  'fireworks-ai-llama-3-firefunction-v2': 'functools',
  'google-gemma-2-2b-it': 'generic',
  'ibm-granite-granite-4.0': 'hermes',
  'ibm-granite-granite-4.1': 'hermes',
  'inclusionai-ling-3.0-flash': 'glm45',
  'llama-cpp-deepseek-r1': 'deepseek_v3',
  'llama-cpp-rwkv-world': 'generic',
  'meetkai-functionary-medium-v3.1': 'functionary_v3',
  'meta-llama-Llama-3.1-8B-Instruct': 'llama3_json',
  'meta-llama-Llama-3.2-3B-Instruct': 'llama3_json',
  'meta-llama-Llama-3.3-70B-Instruct': 'llama3_json',
  'microsoft-Phi-3.5-mini-instruct': 'generic',
  'mistralai-Ministral-3-14B-Reasoning-2512': 'mistral',
  'mistralai-Mistral-Nemo-Instruct-2407': 'mistral',
  'moonshotai-Kimi-K2': 'kimi_k2',
  'openai-gpt-oss-120b': 'openai',
  'poolside-Laguna-S-2.1': 'glm45',
  'unsloth-mistral-Devstral-Small-2507': 'mistral',
};

/** Of these the template renders one call to a message, or fails. */
const ONE_CALL = ['llama3_json', 'openai'];

/** These ask for an item of an object by an undefined name when an argument is an array, which the renderer refuses. */
const NO_ARRAYS = ['NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use', 'NousResearch-Hermes-3-Llama-3.1-8B-tool_use'];

const CALLS = [
  ['get_weather', { city: 'Ro"me {', days: 3, hourly: true }],
  ['search_notes', { query: 'a b', tags: ['x', 'y'] }],
] as const;

const user: ChatMessage = { role: 'user', content: 'Hi' };

function hasGit(): boolean {
  try {
    execFileSync('git', ['--version']);
    return true;
  } catch {
    return false;
  }
}

describe.skipIf(!hasGit())('the templates of well-known models (skipped without git)', () => {
  let folder: string;
  beforeAll(async () => {
    folder = join(await llamaCppSources(), 'models', 'templates');
  }, 120_000);

  const sourceOf = (name: string): string => readFileSync(join(folder, `${name}.jinja`), 'utf8');

  it('are there', () => {
    expect(Object.keys(FORMATS).filter((name) => !existsSync(join(folder, `${name}.jinja`)))).toEqual([]);
    expect(readdirSync(folder).length).toBeGreaterThan(60);
  });

  for (const [name, format] of Object.entries(FORMATS)) {
    it(`tell that ${name} writes calls as ${format} does, and calls that they render are read`, () => {
      const source = sourceOf(name);
      expect(detectOutputFormat(source).name).toBe(format);

      const noArrays = NO_ARRAYS.includes(name);
      const calls = ONE_CALL.includes(format) || noArrays ? CALLS.slice(0, 1) : CALLS;
      const answer = answerWith(source, calls, noArrays ? TOOLS.slice(0, 1) : TOOLS);
      const parser = detectOutputFormat(source).createParser({ tools: TOOLS, separateReasoning: true, promptEnd: '' });
      const read = new Map<number, { name: string; args: string }>();
      for (const { toolCalls } of [...answer.split('').map(parser.push), parser.finish()]) {
        for (const { index, name = '', arguments: args } of toolCalls) {
          const call = read.get(index) ?? { name: '', args: '' };
          read.set(index, { name: call.name + name, args: call.args + args });
        }
      }
      expect([...read.values()].map(({ name, args }) => [name, JSON.parse(args)])).toEqual(calls);
    });
  }

  it('are given nine letters as ids of calls where they want that', () => {
    const call = {
      id: 'call_0123456789abcdef',
      type: 'function' as const,
      function: { name: 'current_time', arguments: {} },
    };
    const messages = [
      user,
      { role: 'assistant', content: '', tool_calls: [call] },
      { role: 'tool', tool_call_id: call.id, content: '12:00' },
    ];
    const template = createChatTemplate(sourceOf('mistralai-Mistral-Nemo-Instruct-2407'), createFakeVocabulary());
    const rendered = template.render({ messages }, { definitions: TOOLS, choice: 'auto', parallel: true });
    expect(rendered).toContain('"id": "789abcdef"');
    expect(rendered).toContain('"call_id": "789abcdef"');
  });
});

/** What a template writes of an assistant's message with calls, from where the prompt for it ends. */
function answerWith(
  source: string,
  calls: ReadonlyArray<readonly [string, unknown]>,
  definitions: readonly ToolDefinition[],
): string {
  const tools: ToolUse = { definitions, choice: 'auto', parallel: true };
  const template = createChatTemplate(source, createFakeVocabulary());
  const answer: ChatMessage = {
    role: 'assistant',
    content: '',
    tool_calls: calls.map(([name, args], index) => ({
      id: `abcdefgh${index}`,
      type: 'function',
      function: { name, arguments: args },
    })),
  };
  const prompt = template.render({ messages: [user] }, tools);
  const whole = template.render({ messages: [user, answer], addGenerationPrompt: false }, tools);
  let end = 0;
  while (end < prompt.length && prompt[end] === whole[end]) end += 1;
  // Many prompts begin a reasoning that the messages of the past are rendered without.
  return whole.slice(end < prompt.length && !/[\s>]/.test(whole[end - 1]!) ? whole.lastIndexOf('<', end) : end);
}
