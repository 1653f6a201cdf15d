import { randomUUID } from 'node:crypto';
import { createRoute, OpenAPIHono, z } from '@hono/zod-openapi';
import type { GenerationRequest, Prompt, Usage } from '../../serving/index.js';
import type { ApiContext } from '../context.js';
import { refuseFields } from '../openai/schemas.js';
import { type Choice, collect, submit } from '../openai/submission.js';
import { type EventWriter, streamAnswer } from '../stream.js';
import { type Timing, timed } from '../timing.js';
import { endFields, headFields, ndjson, toEnd, toHead, toLine, toLogprobs } from './answer.js';
import { refuseImages } from './chat-schemas.js';
import { ollamaErrors } from './errors.js';
import { loadedReason } from './loaded.js';
import { servedName } from './model-name.js';
import { generationFields, toGenerationOptions, toTemplateArguments } from './options.js';

const GenerateRequest = z
  .looseObject({
    ...generationFields,
    prompt: z.string().nullish().describe('None: only says that the model is loaded.'),
    suffix: z.string().nullish().describe('What comes after the answer, for models that can fill gaps.'),
    system: z.string().nullish(),
    raw: z.boolean().nullish().describe('Continue the prompt as it is, without the chat template.'),
  })
  .superRefine(refuseFields({ template: [''], context: [[]], _debug_render_only: [false] }))
  .superRefine(refuseImages)
  .superRefine(({ raw, system }, context) => {
    if (raw && system) context.addIssue({ code: 'custom', path: ['system'], message: 'is not allowed with `raw`' });
  })
  .openapi('OllamaGenerateRequest');

type GenerateBody = z.infer<typeof GenerateRequest>;

const GenerateAnswer = z
  .object({ ...headFields, response: z.string(), thinking: z.string().optional(), ...endFields })
  .openapi('OllamaGenerateAnswer');

const route = createRoute({
  method: 'post',
  path: '/api/generate',
  summary: 'Answer a prompt (Ollama)',
  request: { body: { required: true, content: { 'application/json': { schema: GenerateRequest } } } },
  responses: {
    200: {
      description: 'The answer, unless `stream` is false in lines of this type.',
      content: { 'application/json': { schema: GenerateAnswer }, [ndjson.contentType]: { schema: z.string() } },
    },
    ...ollamaErrors,
  },
});

/** `POST /api/generate`, field for field as Ollama's clients have it. */
export function generate(context: ApiContext): OpenAPIHono {
  return new OpenAPIHono().openapi(route, async (c) => {
    const start = performance.now();
    const body = c.req.valid('json');
    const model = servedName(context.serving, body.model);
    if (!body.prompt) {
      return c.json({ ...toHead(body.model), response: '', done: true, done_reason: loadedReason(body) }, 200);
    }
    const request = toGenerationRequest(model, body.prompt, body);
    const { submission, timing } = timed(await submit(context, [request], 1, c), start);
    if (body.stream !== false) {
      return streamAnswer(c, submission, textLines(body.model, submission.usage, timing), ndjson, context.logger);
    }
    const [choice] = await collect(submission);
    return c.json(wholeAnswer(body.model, choice as Choice, submission.usage(), timing), 200);
  });
}

function toGenerationRequest(model: string, prompt: string, body: GenerateBody): GenerationRequest {
  return { ...toGenerationOptions(body), id: `ollama-${randomUUID()}`, model, prompt: toPrompt(prompt, body) };
}

function toPrompt(prompt: string, body: GenerateBody): Prompt {
  if (body.suffix) return { kind: 'fill', prefix: prompt, suffix: body.suffix };
  if (body.raw) return { kind: 'text', text: prompt };
  return {
    kind: 'chat',
    messages: [...(body.system ? [{ role: 'system', content: body.system }] : []), { role: 'user', content: prompt }],
    templateArguments: toTemplateArguments(body),
  };
}

function wholeAnswer(model: string, { text, reasoning, tokens, end }: Choice, usage: Usage, timing: Timing) {
  return {
    ...toHead(model),
    response: text,
    ...(reasoning !== '' && { thinking: reasoning }),
    ...toEnd(end, usage, timing),
    ...toLogprobs(tokens),
  };
}

/** @param usage Running totals. */
function textLines(model: string, usage: () => Usage, timing: Timing): EventWriter {
  return {
    event(event) {
      if (event.type === 'finish') {
        return toLine({ ...toHead(model), response: '', ...toEnd(event, usage(), timing) });
      }
      const { text, reasoning, tokens } = event;
      if (text === '' && reasoning === '' && tokens.length === 0) return '';
      const thought = reasoning === '' ? {} : { thinking: reasoning };
      return toLine({ ...toHead(model), response: text, ...thought, done: false, ...toLogprobs(tokens) });
    },
    end: () => '',
  };
}
