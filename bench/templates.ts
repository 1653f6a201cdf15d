/** `npm run bench:templates`: prompts as Quire renders them against llama-server's, for well-known chat templates. */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { Command, Option } from 'commander';
import { loadLlama } from '../src/llama/index.js';
import { type ChatTemplate, createChatTemplate } from '../src/serving/text/chat-template.js';
import { detectOutputFormat, templateKnowsTools } from '../src/serving/text/formats/index.js';
import { randomModelPath } from '../test/support/random-model.js';
import { llamaCppSources, llamaServer } from './llama-cpp.js';
import { runProgram } from './run-program.js';
import { type ServerProcess, startServer } from './server/server-process.js';
import { withProgress } from './step-progress.js';
import { CONVERSATIONS, type Conversation } from './templates/conversations.js';

interface Flags {
  llamaServer?: string;
}

const DOCUMENT = new URL('../docs/chat-templates.md', import.meta.url);

const program = new Command('npm run bench:templates --')
  .description('Renders the templates of the llama.cpp sources here and there, and writes docs/chat-templates.md.')
  .addOption(new Option('--llama-server <path>', 'use this llama-server instead of building one').env('LLAMA_SERVER'));

/** A prompt, or why there is none. */
type Rendered = { prompt: string } | { refusal: string };

/** One template, and the conversations that are not rendered alike. */
interface Row {
  template: string;
  format: string;
  knowsTools: boolean;
  different: { conversation: string; here: Rendered; there: Rendered }[];
}

async function main(flags: Flags): Promise<void> {
  const folder = join(await llamaCppSources(), 'models', 'templates');
  const binary = await withProgress((onProgress) => llamaServer(flags.llamaServer, onProgress));
  const model = await randomModelPath({ layers: 1 });
  const vocabulary = loadLlama({ device: 'cpu' }).loadModel(model, { vocabOnly: true });
  const files = (await readdir(folder)).filter((name) => name.endsWith('.jinja')).sort();

  const rows: Row[] = [];
  for (const file of files) {
    const path = join(folder, file);
    const source = await readFile(path, 'utf8');
    const template = createChatTemplate(source, vocabulary.vocab);
    const there = await renderThere(binary, model, path);
    const different = CONVERSATIONS.map((conversation, index) => ({
      conversation: conversation.name,
      here: renderHere(template, conversation),
      there: there[index]!,
    })).filter(({ here, there }) => !isSame(here, there));
    const format = detectOutputFormat(source).name;
    rows.push({ template: basename(file, '.jinja'), format, knowsTools: templateKnowsTools(source), different });
    const alike = CONVERSATIONS.length - different.length;
    console.error(`${alike} of ${CONVERSATIONS.length} alike: ${file}`);
  }
  vocabulary.dispose();
  await writeFile(DOCUMENT, documentOf(rows));
  console.error('wrote docs/chat-templates.md');
}

/** llama-server tells every template of this, which Hugging Face's environment does not. */
function templateArguments(): Record<string, unknown> {
  const [day, month, year] = new Date()
    .toLocaleDateString('en-GB', { day: '2-digit', month: 'short', year: 'numeric' })
    .split(' ');
  return {
    enable_thinking: true,
    date_string: `${day} ${month} ${year}`,
    // Reasoning of earlier answers is to stay.
    preserve_thinking: true,
    clear_thinking: false,
    truncate_history_thinking: false,
    drop_thinking: false,
  };
}

function renderHere(template: ChatTemplate, { tools, name: _, ...prompt }: Conversation): Rendered {
  try {
    return { prompt: template.render({ ...prompt, templateArguments: templateArguments() }, tools) };
  } catch (error) {
    return { refusal: messageOf(error).replace(/^The model's chat template does not accept these messages: /, '') };
  }
}

/** What a llama-server with this template makes of each conversation. */
async function renderThere(binary: string, model: string, template: string): Promise<Rendered[]> {
  let server: ServerProcess;
  try {
    const flags = ['--jinja', '--chat-template-file', template, '--ctx-size', '512', '--parallel', '1', '--no-warmup'];
    server = await startServer(binary, (port) => [
      '--model',
      model,
      '--port',
      String(port),
      '--threads',
      '1',
      ...flags,
    ]);
  } catch (error) {
    return CONVERSATIONS.map(() => ({ refusal: messageOf(error) }));
  }
  try {
    const rendered: Rendered[] = [];
    for (const conversation of CONVERSATIONS) rendered.push(await applyTemplate(server.url, conversation));
    return rendered;
  } finally {
    await server.stop();
  }
}

async function applyTemplate(url: string, conversation: Conversation): Promise<Rendered> {
  const { messages, tools, addGenerationPrompt = true } = conversation;
  const body = {
    messages: messages.map((message) => ({
      ...message,
      tool_calls: message.tool_calls?.map((call) => ({
        ...call,
        function: { ...call.function, arguments: JSON.stringify(call.function.arguments) },
      })),
    })),
    tools: tools?.definitions.map((definition) => ({ type: 'function', function: definition })),
    add_generation_prompt: addGenerationPrompt,
  };
  const response = await fetch(`${url}/apply-template`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  const answer = (await response.json()) as { prompt?: string; error?: { message: string } };
  return answer.prompt === undefined
    ? { refusal: answer.error?.message ?? `status ${response.status}` }
    : { prompt: answer.prompt };
}

/** Two refusals are the same, whatever their words. */
function isSame(here: Rendered, there: Rendered): boolean {
  if ('refusal' in here || 'refusal' in there) return 'refusal' in here && 'refusal' in there;
  return here.prompt === there.prompt;
}

function documentOf(rows: readonly Row[]): string {
  const identical = rows.filter(({ different }) => different.length === 0);
  const others = rows.filter(({ different }) => different.length > 0);
  return [
    '# Chat templates',
    '',
    'Quire renders chat templates with `@huggingface/jinja`, in the environment that Hugging Face gives them; see',
    '[tool calling](tool-calling.md) for what it makes of the answers. This page compares its prompts with those of',
    '`llama-server --jinja`, for all templates of the llama.cpp sources that Quire is built on. It is written by',
    '`npm run bench:templates`, which needs git, and cmake with a C++ compiler for the first build of `llama-server`.',
    '',
    `Each template renders ${CONVERSATIONS.length} conversations:`,
    `${CONVERSATIONS.map(({ name }) => name).join(', ')}.`,
    `llama-server tells templates ${Object.keys(templateArguments())
      .map((name) => `\`${name}\``)
      .join(', ')};`,
    'the comparison tells them here, too.',
    '',
    `**${identical.length} of ${rows.length} templates render all of them identically.**`,
    '',
    '| template | format of answers | identical | why not |',
    '| --- | --- | --- | --- |',
    ...rows.map((row) => {
      const alike = CONVERSATIONS.length - row.different.length;
      const share = row.different.length === 0 ? 'all' : `${alike} of ${CONVERSATIONS.length}`;
      return `| ${row.template} | \`${row.format}\` | ${share} | ${reason(row)} |`;
    }),
    '',
    '## Differences',
    '',
    'From where the prompts differ; `⏎` is a line break.',
    '',
    ...others.flatMap(({ template, different }) => [`### ${template}`, '', ...differences(different), '']),
  ].join('\n');
}

/** What is known of single templates; what makes others differ can be told from how they do. */
const REASONS: Readonly<Record<string, string>> = {
  'Apertus-8B-Instruct': 'llama-server takes it for a model without reasoning and tells it so',
  'mistralai-Ministral-3-14B-Reasoning-2512': 'llama-server hands earlier reasoning over as parts of the content',
  'unsloth-mistral-Devstral-Small-2507':
    'llama-server hands earlier reasoning over as parts of the content, and this template drops them all',
  'google-gemma-2-2b-it':
    'knows neither a system message nor tools: Quire puts both before the first message of the user, llama-server the former',
  'google-gemma-4-31B-it-interleaved': 'llama-server turns results of calls into `tool_responses`',
  'llama-cpp-rwkv-world':
    'knows no tools: Quire tells of them itself; llama-server leaves `add_generation_prompt` undefined rather than false',
  'upstage-Solar-Open-100B': 'llama-server leaves `add_generation_prompt` undefined rather than false',
  'fireworks-ai-llama-3-firefunction-v2': 'Quire tells it of its `functions`, llama-server of this release does not',
};

function reason({ template, knowsTools, different }: Row): string {
  if (different.length === 0) return '';
  const known = REASONS[template];
  if (known !== undefined) return known;
  const refusals = new Set(different.flatMap(({ here }) => ('refusal' in here ? [here.refusal] : [])));
  if (refusals.size > 0) return `the renderer: ${[...refusals].join('; ')}`;
  return knowsTools ? '' : 'knows no tools: Quire tells of them itself';
}

/** Conversations that differ in the same way are named together. */
function differences(different: Row['different']): string[] {
  const byText = new Map<string, string[]>();
  for (const { conversation, here, there } of different) {
    const start = 'prompt' in here && 'prompt' in there ? firstDifference(here.prompt, there.prompt) : 0;
    const text = `Quire ${describe(here, start)}; llama-server ${describe(there, start)}`;
    byText.set(text, [...(byText.get(text) ?? []), conversation]);
  }
  return [...byText].map(([text, conversations]) => `- ${conversations.join(', ')}: ${text}.`);
}

const SHOWN = 90;

function describe(rendered: Rendered, start: number): string {
  if ('refusal' in rendered) return `refuses (${inline(rendered.refusal.split('\n')[0]!)})`;
  return `writes ${inline(rendered.prompt.slice(start, start + SHOWN))}`;
}

function inline(text: string): string {
  return `\`\` ${text.slice(0, SHOWN).replaceAll('\n', '⏎').replaceAll('``', "''")} \`\``;
}

function firstDifference(a: string, b: string): number {
  let index = 0;
  while (index < a.length && a[index] === b[index]) index += 1;
  return Math.max(0, index - 10);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

await runProgram(program, main);
