import { RequestError } from '../errors.js';
import type { ChatMessage, Prompt, ToolDefinition, ToolUse } from '../types.js';
import { BoundedTemplate, TemplateLimitError } from './bounded-template.js';
import { templateKnowsTools, withoutSystemMessage, withToolsAsText } from './formats/index.js';
import { completeSchema, templateQuirks } from './template-quirks.js';
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
 * `add_generation_prompt`, `bos_token`, `eos_token`, and the functions `raise_exception` and `strftime_now`; within bounds
 * of time and size. A model that brings none is given ChatML if its vocabulary has ChatML's tokens.
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
  let template: BoundedTemplate;
  try {
    template = new BoundedTemplate(text);
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
  const quirks = templateQuirks(text);

  function render(messages: readonly ChatMessage[], prompt: ChatPrompt, tools: unknown, definitions: ToolDefinition[]) {
    const { addGenerationPrompt = true, continueFinalMessage, templateArguments } = prompt;
    return template.render({
      ...templateArguments,
      ...quirks.variables(definitions),
      ...specialTokens,
      messages,
      tools,
      add_generation_prompt: addGenerationPrompt && !continueFinalMessage,
    });
  }

  /** For a template that knows no tools, they are text. */
  function renderAny(prompt: ChatPrompt, definitions: ToolDefinition[]): string {
    const messages = knowsTools ? quirks.messages(prompt.messages) : withToolsAsText(prompt.messages, definitions);
    const tools = knowsTools ? definitions : [];
    try {
      // Templates ask `if tools`, or `tools is not none`: both are false for null as in Hugging Face's environment.
      return render(messages, prompt, tools.length === 0 ? null : toTemplateTools(tools), tools);
    } catch (error) {
      // A second attempt would take as long.
      if (error instanceof TemplateLimitError) throw error;
      const isOfSystem = messages[0]?.role === 'system' && /\bsystem\b/i.test(messageOf(error));
      try {
        return render(
          isOfSystem ? withoutSystemMessage(messages) : messages,
          prompt,
          toTemplateTools(tools, true),
          tools,
        );
      } catch {
        throw error;
      }
    }
  }

  return {
    render(prompt, toolUse) {
      const { messages, continueFinalMessage = false } = prompt;
      const tools = toolUse === undefined || toolUse.choice === 'none' ? [] : [...toolUse.definitions];
      try {
        const rendered = renderAny(prompt, tools);
        return continueFinalMessage ? cutAfterContent(rendered, messages.at(-1)?.content ?? '') : rendered;
      } catch (error) {
        if (error instanceof RequestError) throw error;
        if (error instanceof TemplateLimitError) {
          throw new RequestError(
            `The model's chat template was stopped: ${error.message}. Send fewer or shorter messages; if it stays so, ` +
              'use /v1/completions with a prompt in the format the model was trained on.',
            { param: 'messages', code: 'chat_template_error' },
          );
        }
        // What raise_exception says is meant for whoever wrote the messages; so, nearly always, is any other failure.
        throw new RequestError(`The model's chat template does not accept these messages: ${messageOf(error)}`, {
          param: 'messages',
          code: 'chat_template_error',
        });
      }
    },
  };
}

/**
 * In OpenAI's shape, as Hugging Face's templates expect them.
 *
 * @param complete For templates that use types and descriptions of arguments without asking whether there are any.
 */
function toTemplateTools(tools: readonly ToolDefinition[], complete = false): unknown[] {
  return tools.map(({ name, description, parameters }) => {
    const schema = parameters ?? { type: 'object', properties: {} };
    return {
      type: 'function',
      function: { name, description: description ?? '', parameters: complete ? completeSchema(schema) : schema },
    };
  });
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
