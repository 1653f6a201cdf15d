import { createHash } from 'node:crypto';
import { createRoute, OpenAPIHono, z } from '@hono/zod-openapi';
import type { ServedModel } from '../../serving/index.js';
import type { ApiContext } from '../context.js';
import { ollamaErrors } from './errors.js';
import { servedName, toOllamaName } from './model-name.js';

/** The Ollama release whose API this is; clients ask for it to learn what they may send. */
const API_VERSION = '0.12.6';

const Details = z.object({
  parent_model: z.string(),
  format: z.literal('gguf'),
  family: z.string().describe('Architecture.'),
  families: z.array(z.string()),
  parameter_size: z.string(),
  quantization_level: z.string(),
});

const Model = z
  .object({
    name: z.string(),
    model: z.string(),
    modified_at: z.string(),
    size: z.int().describe('Bytes of weights.'),
    digest: z.string().describe('Differs between models.'),
    details: Details,
  })
  .openapi('OllamaModel');

const RunningModel = Model.omit({ modified_at: true }).extend({
  expires_at: z.string(),
  size_vram: z.int(),
  context_length: z.int(),
});

const Shown = z
  .object({
    details: Details,
    model_info: z.record(z.string(), z.union([z.string(), z.number()])),
    capabilities: z.array(z.string()),
    modified_at: z.string(),
  })
  .openapi('OllamaShow');

const json = <T extends z.ZodType>(description: string, schema: T) => ({
  200: { description, content: { 'application/json': { schema } } },
  401: ollamaErrors[401],
});

const tagsRoute = createRoute({
  method: 'get',
  path: '/api/tags',
  summary: 'List the models served here (Ollama)',
  responses: json('The models.', z.object({ models: z.array(Model) })),
});

const psRoute = createRoute({
  method: 'get',
  path: '/api/ps',
  summary: 'List the models that are loaded (Ollama)',
  responses: json('The models: all that are served.', z.object({ models: z.array(RunningModel) })),
});

const versionRoute = createRoute({
  method: 'get',
  path: '/api/version',
  summary: 'The Ollama release whose API this is',
  responses: json('The release.', z.object({ version: z.string() })),
});

const ShowRequest = z
  .looseObject({
    model: z.string().min(1).nullish(),
    name: z.string().min(1).nullish().describe('The older name of `model`.'),
    verbose: z.boolean().nullish().describe('Accepted, without effect.'),
  })
  .superRefine(({ model, name }, context) => {
    if (model == null && name == null) context.addIssue({ code: 'custom', path: ['model'], message: 'is required' });
  })
  .openapi('OllamaShowRequest');

const showRoute = createRoute({
  method: 'post',
  path: '/api/show',
  summary: 'Describe one model (Ollama)',
  request: { body: { required: true, content: { 'application/json': { schema: ShowRequest } } } },
  responses: { ...json('The model.', Shown), ...ollamaErrors },
});

/** What Ollama tells about models; they are loaded as long as the server runs. */
export function ollamaModels({ serving }: ApiContext): OpenAPIHono {
  const app = new OpenAPIHono();
  app.openapi(tagsRoute, (c) => c.json({ models: serving.models().map(toModel) }, 200));
  app.openapi(psRoute, (c) => c.json({ models: serving.models().map(toRunningModel) }, 200));
  app.openapi(versionRoute, (c) => c.json({ version: API_VERSION }, 200));
  app.openapi(showRoute, (c) => {
    const { model, name } = c.req.valid('json');
    return c.json(toShown(serving.resolveModel(servedName(serving, (model ?? name) as string))), 200);
  });
  return app;
}

function toModel(model: ServedModel) {
  const name = toOllamaName(model.id);
  return {
    name,
    model: name,
    modified_at: modifiedAt(model),
    size: model.info.weightBytes,
    digest: digestOf(model),
    details: toDetails(model),
  };
}

function toRunningModel(model: ServedModel) {
  const { modified_at: _, ...listed } = toModel(model);
  return {
    ...listed,
    // It does not: this is as far away as JavaScript's dates go in four digits.
    expires_at: '9999-12-31T23:59:59Z',
    size_vram: 0,
    context_length: model.maxModelLen,
  };
}

function toShown(model: ServedModel) {
  const { family } = toDetails(model);
  return {
    details: toDetails(model),
    model_info: {
      'general.architecture': family,
      'general.parameter_count': model.info.parameters,
      [`${family}.context_length`]: model.maxModelLen,
      [`${family}.embedding_length`]: model.info.embeddingSize,
      [`${family}.vocab_size`]: model.info.vocabSize,
    },
    capabilities: ['completion', 'tools'],
    modified_at: modifiedAt(model),
  };
}

function modifiedAt({ created }: ServedModel): string {
  return new Date(created * 1000).toISOString();
}

/** llama.cpp describes a model as `llama 8B Q4_K - Medium`: architecture, size, type of weights. */
function toDetails({ info }: ServedModel) {
  const [family = '', , ...type] = info.modelDescription.split(' ');
  return {
    parent_model: '',
    format: 'gguf' as const,
    family,
    families: [family],
    parameter_size: toParameterSize(info.parameters),
    quantization_level: type.join(' ').replace(/ - (\w).*$/, '_$1'),
  };
}

/** `8.0B`, `134.5M` */
function toParameterSize(parameters: number): string {
  return parameters >= 1e9 ? `${(parameters / 1e9).toFixed(1)}B` : `${(parameters / 1e6).toFixed(1)}M`;
}

function digestOf({ id, info }: ServedModel): string {
  const parts = [id, info.modelDescription, info.parameters, info.weightBytes];
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}
