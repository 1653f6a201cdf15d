import { createInterface, type Interface } from 'node:readline/promises';
import { text } from 'node:stream/consumers';
import { Command, Option } from 'commander';
import type { ChatBackend, ChatTurn } from './chat-backend.js';
import { CliError, describeError } from './cli-error.js';
import { parseNumber } from './flags.js';
import { runInProcess } from './in-process-chat.js';
import { connectToServer } from './openai-chat.js';

interface ChatFlags {
  url?: string;
  apiKey?: string;
  model?: string;
  system?: string;
  temperature: number;
  maxTokens?: number;
}

const HELP = `
In the conversation: /clear forgets what was said, /exit leaves. Ctrl-C stops an answer; twice leaves.

Examples:
  quire chat                                   with the default model, in this process
  quire chat hf:Qwen/Qwen2.5-0.5B-Instruct-GGUF:Q8_0
  quire chat --url http://127.0.0.1:8000       with a running server, Quire's or another
  echo "What is gravity?" | quire chat         one question, one answer`;

/** `quire chat [model]`: a conversation in the terminal, or one answer to a piped prompt. */
export function chatCommand(): Command {
  return new Command('chat')
    .summary('talk with a model in the terminal')
    .description('Talks with a model: one that runs in this process, or one behind any OpenAI-compatible server.')
    .argument('[model]', 'path, hf:user/repo[:quant], URL or catalog name; with --url: a name the server knows')
    .option('--model <model>', 'the same as the argument')
    .option('--url <url>', 'talk with the server at this address, e.g. http://127.0.0.1:8000')
    .addOption(new Option('--api-key <key>', 'key that the server wants').env('QUIRE_API_KEY'))
    .option('--system <text>', 'system prompt')
    .option('--temperature <n>', 'randomness of the answers; 0: always the likeliest token', parseNumber, 0.7)
    .option('--max-tokens <n>', 'longest answer in tokens (default: what fits)', parseNumber)
    .addHelpText('after', HELP)
    .action(async (argument: string | undefined, flags: ChatFlags) => {
      const model = argument ?? flags.model;
      const backend =
        flags.url === undefined
          ? await runInProcess(model)
          : await connectToServer(flags.url, { model, apiKey: flags.apiKey });
      try {
        if (process.stdin.isTTY) await converse(backend, flags);
        else await answerOnce(backend, flags);
      } finally {
        await backend.close();
      }
    });
}

async function answerOnce(backend: ChatBackend, flags: ChatFlags): Promise<void> {
  const prompt = (await text(process.stdin)).trim();
  if (prompt === '')
    throw new CliError('standard input is empty', { hint: 'Pipe a prompt in: echo "Hello" | quire chat' });
  const interrupt = new AbortController();
  process.once('SIGINT', () => interrupt.abort());
  try {
    await streamAnswer(backend, [...opening(flags), { role: 'user', content: prompt }], flags, interrupt.signal);
  } catch (error) {
    if (!interrupt.signal.aborted) throw error;
    process.exitCode = 130;
  }
}

async function converse(backend: ChatBackend, flags: ChatFlags): Promise<void> {
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  process.stderr.write(dim(`${backend.model}: /clear forgets, /exit leaves, Ctrl-C stops an answer\n`));
  let turns = opening(flags);
  for await (const line of questions(terminal)) {
    if (line === '/exit') break;
    if (line === '/clear') {
      turns = opening(flags);
      continue;
    }
    if (line === '') continue;
    const asked: ChatTurn[] = [...turns, { role: 'user', content: line }];
    const interrupt = new AbortController();
    const stop = () => (interrupt.signal.aborted ? terminal.close() : interrupt.abort());
    terminal.on('SIGINT', stop);
    try {
      turns = [...asked, { role: 'assistant', content: await streamAnswer(backend, asked, flags, interrupt.signal) }];
    } catch (error) {
      // The conversation goes on without the question: an aborted or failed answer leaves nothing to refer to.
      process.stderr.write(interrupt.signal.aborted ? dim('\n(stopped)\n') : describeError(error));
    } finally {
      terminal.off('SIGINT', stop);
    }
  }
  terminal.close();
}

/** Lines typed at the prompt, until the end of input or the second Ctrl-C in a row. */
async function* questions(terminal: Interface): AsyncGenerator<string> {
  const closed = new AbortController();
  terminal.once('close', () => closed.abort());
  while (!closed.signal.aborted) {
    let interrupts = 0;
    const warn = () => {
      if (++interrupts > 1) terminal.close();
      else process.stderr.write(dim('\n(Ctrl-C again, or /exit, leaves)\n'));
    };
    terminal.on('SIGINT', warn);
    let line: string;
    try {
      line = await terminal.question('> ', { signal: closed.signal });
    } catch (error) {
      if (closed.signal.aborted) return;
      throw error;
    } finally {
      terminal.off('SIGINT', warn);
    }
    yield line.trim();
  }
}

function opening(flags: ChatFlags): ChatTurn[] {
  return flags.system === undefined ? [] : [{ role: 'system', content: flags.system }];
}

async function streamAnswer(
  backend: ChatBackend,
  messages: readonly ChatTurn[],
  flags: ChatFlags,
  signal: AbortSignal,
): Promise<string> {
  let answer = '';
  let firstTextAt: number | undefined;
  const { completionTokens } = await backend.answer(messages, {
    temperature: flags.temperature,
    maxTokens: flags.maxTokens,
    signal,
    onText(delta) {
      firstTextAt ??= performance.now();
      answer += delta;
      process.stdout.write(delta);
    },
  });
  process.stdout.write('\n');
  const seconds = (performance.now() - (firstTextAt ?? performance.now())) / 1000;
  // The first token belongs to the prefill: the clock starts when it appears.
  const rate = seconds > 0 ? `, ${((completionTokens - 1) / seconds).toFixed(1)} tok/s` : '';
  process.stderr.write(dim(`${completionTokens} tokens${rate}\n`));
  return answer;
}

function dim(text: string): string {
  return process.stderr.isTTY ? `\x1b[2m${text}\x1b[22m` : text;
}
