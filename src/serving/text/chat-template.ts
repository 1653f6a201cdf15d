import { Template } from '@huggingface/jinja';
import { RequestError } from '../errors.js';
import type { ChatMessage, Prompt, ToolDefinition, ToolUse } from '../types.js';
import { templateKnowsTools, withoutSystemMessage, withToolsAsText } from './formats/index.js';
import { decodeUtf8, type Vocabulary } from './tokenizer.js';

export type ChatPrompt = Omit<Extract<Prompt, { kind: 'chat' }>, 'kind'>;

export interface ChatTemplate {
  /**
   * The prompt ends where the assistant's answer begins, unless `addGenerationPrompt` is false, or goes on with
   * `continueFinalMessage`.
   * @param tools Told to the model unless the choice is `none`. A template that knows no tools gets them, and calls and
   * results among the messages, as text.
   * @throws RequestError when the template refuses the messages or cannot render them.
   */
  render(prompt: ChatPrompt, tools?: ToolUse): string;
}

/** What models without a template of their own but with ChatML's tokens were most likely trained on. */
const CHATML = [
  '{% for message in messages %}',
  "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}",
  '{% endfor %}',
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
].join('');

/**
 * The chat template of a model, in the environment Hugging Face's `apply_chat_template` gives it: `messages`, `tools`,
 * `add_generation_prompt`, `bos_token`, `eos_token`, and the functions `raise_exception` and `strftime_now`. A model
 * that brings none is given ChatML if its vocabulary has ChatML's tokens.
 *
 * A model whose template is missing or cannot be parsed still serves completions, so that is an error of `render`.
 *
 * @param source Jinja source, `tokenizer.chat_template` of the GGUF.
 */
export function createChatTemplate(source: string | undefined, vocabulary: Vocabulary): ChatTemplate {
  const text = source ?? (hasChatMlTokens(vocabulary) ? CHATML : undefined);
  if (text === undefined) {
    return refusing(
      'This model has no chat template. Use /v1/completions with a prompt in the format it was trained on.',
    );
  }
  let template: Template;
  try {
    template = new Template(text);
  } catch (error) {
    return refusing(
      `This model's chat template cannot be parsed (${messageOf(error)}). ` +
        'Use /v1/completions with a prompt in the format it was trained on.',
    );
  }
  const specialTokens = {
    bos_token: tokenText(vocabulary, vocabulary.bos),
    eos_token: tokenText(vocabulary, vocabulary.eos),
  };

  const knowsTools = templateKnowsTools(text);

  function render(
    messages: readonly ChatMessage[],
    { addGenerationPrompt = true, continueFinalMessage, templateArguments }: Omit<ChatPrompt, 'messages'>,
    tools: readonly ToolDefinition[],
  ): string {
    return template.render({
      ...templateArguments,
      ...specialTokens,
      messages,
      // Templates ask `if tools`, or `tools is not none`: both are false for null as in Hugging Face's environment.
      tools: toTemplateTools(tools),
      add_generation_prompt: addGenerationPrompt && !continueFinalMessage,
    });
  }

  /** For a template that knows no tools. A few know no system's message either, and say so by failing. */
  function renderToolsAsText(prompt: ChatPrompt, tools: readonly ToolDefinition[]): string {
    const messages = withToolsAsText(prompt.messages, tools);
    try {
      return render(messages, prompt, []);
    } catch (error) {
      if (tools.length === 0 || prompt.messages[0]?.role === 'system') throw error;
      return render(withoutSystemMessage(messages), prompt, []);
    }
  }

  return {
    render(prompt, toolUse) {
      const { messages, continueFinalMessage = false } = prompt;
      const tools = toolUse === undefined || toolUse.choice === 'none' ? [] : toolUse.definitions;
      try {
        const rendered = knowsTools ? render(messages, prompt, tools) : renderToolsAsText(prompt, tools);
        return continueFinalMessage ? cutAfterContent(rendered, messages.at(-1)?.content ?? '') : rendered;
      } catch (error) {
        if (error instanceof RequestError) throw error;
        // What raise_exception says is meant for whoever wrote the messages; so, nearly always, is any other failure.
        throw new RequestError(`The model's chat template does not accept these messages: ${messageOf(error)}`, {
          param: 'messages',
          code: 'chat_template_error',
        });
      }
    },
  };
}

/** In OpenAI's shape, as Hugging Face's templates expect them. */
function toTemplateTools(tools: readonly ToolDefinition[]): unknown[] | null {
  if (tools.length === 0) return null;
  return tools.map(({ name, description, parameters }) => ({
    type: 'function',
    function: { name, description: description ?? '', parameters: parameters ?? { type: 'object', properties: {} } },
  }));
}

/** The end of a turn, and whatever else the template writes behind the last message, is what the model is to write. */
function cutAfterContent(rendered: string, content: string): string {
  const text = content.trim();
  const start = text === '' ? -1 : rendered.lastIndexOf(text);
  if (start < 0) {
    throw new RequestError(
      'The last message cannot be continued: the chat template leaves its text out or changes it.',
      {
        param: 'messages',
      },
    );
  }
  // Some templates trim messages. White space at the end is kept only if the template keeps it.
  const end = start + text.length;
  const trailing = content.slice(content.trimEnd().length);
  return rendered.slice(0, rendered.startsWith(trailing, end) ? end + trailing.length : end);
}

function refusing(message: string): ChatTemplate {
  return {
    render() {
      throw new RequestError(message, { param: 'messages', code: 'no_chat_template' });
    },
  };
}

function hasChatMlTokens(vocabulary: Vocabulary): boolean {
  return ['<|im_start|>', '<|im_end|>'].every(
    (marker) => vocabulary.tokenize(marker, { addSpecial: false, parseSpecial: true }).length === 1,
  );
}

function tokenText(vocabulary: Vocabulary, token: number): string {
  return token < 0 ? '' : decodeUtf8(vocabulary.pieceBytes(token, true));
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
