import { randomUUID } from 'node:crypto';
import { OpenAPIHono } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { cors } from 'hono/cors';
import type { Serving } from '../serving/index.js';
import { createLogger, createMetrics, type Logger } from '../telemetry/index.js';
import { createKeyRing, isolateClients, type KeyRing, limitDepth, requestId, requireKey } from './access/index.js';
import { accessLog } from './access-log.js';
import { limitBody } from './body-limit.js';
import type { ApiContext } from './context.js';
import { docs } from './docs.js';
import { createDrain, type Drain } from './drain.js';
import { embeddings } from './embeddings/embeddings.js';
import { SCORING_PATHS, scoring } from './embeddings/scoring.js';
import { health } from './health.js';
import { ClientLimits } from './limits/index.js';
import { metrics } from './metrics.js';
import { neighbours } from './neighbours.js';
import { chatCompletions } from './openai/chat-completions.js';
import { completions } from './openai/completions.js';
import { ApiError, isFault, toErrorReply } from './openai/errors.js';
import { models } from './openai/models.js';
import { responses } from './openai/responses/index.js';
import { refuseInvalid } from './openai/validation.js';
import { answerErrorsAs, errorFormatOf } from './protocol.js';
import { logRequests } from './request-log.js';
import { createStreamStore, type StreamStore } from './stream-store.js';
import { streams } from './streams.js';
import { TOKEN_PATHS, tokens } from './tokens/tokens.js';

export interface AppOptions {
  /** Keys that clients must present one of, except to probe health and metrics; default: none is asked for. */
  apiKeys?: readonly string[] | undefined;
  /** In place of `apiKeys`: keys with scopes, which may change. */
  keyRing?: KeyRing;
  /** Let requests with different keys share what they begin with in the KV cache; default false: see SECURITY.md. */
  sharePrefixesBetweenKeys?: boolean | undefined;
  /** Web pages of these origins (`*`: all) may call the API; default: none. */
  allowedOrigins?: readonly string[];
  /** Largest request body, default 32 MiB. */
  maxBodyBytes?: number;
  /** What each key may do, or all clients together where no keys are asked for; 0, the default: as much as it likes. */
  maxConcurrentRequestsPerKey?: number;
  /** Requests a minute. */
  rateLimitRequests?: number;
  /** Tokens a minute, of prompts and answers. */
  rateLimitTokens?: number;
  /** Default: a new one at level `info`. */
  logger?: Logger;
  /** Log every request with its prompt; default false: what clients say is in no log. */
  enableLogRequests?: boolean | undefined;
  /** How far the server is with shutting down; default: it never does. */
  drain?: Drain;
  /** For how long a client that has lost a stream can take it up again, in seconds; default 0: not at all. */
  streamResumeWindow?: number;
}

const API = {
  openapi: '3.1.0',
  info: { title: 'Quire', version: '1', description: 'OpenAI-compatible API of the Quire LLM serving engine.' },
};

const DEFAULT_MAX_BODY_BYTES = 32 * 2 ** 20;

/**
 * The HTTP API in front of a serving, as a Hono app to listen with (see `listen`) or to mount in another one.
 *
 * @example
 * ```ts
 * const app = createApp(createServing({ model: 'model.gguf' }));
 * const response = await app.request('/v1/models');
 * ```
 */
export function createApp(serving: Serving, options: AppOptions = {}): OpenAPIHono {
  const { allowedOrigins = [], maxBodyBytes = DEFAULT_MAX_BODY_BYTES } = options;
  const keys = options.keyRing ?? createKeyRing({ keys: options.apiKeys });
  const logger = options.logger ?? createLogger();
  const engineMetrics = createMetrics(
    () => serving.stats(),
    () => serving.models()[0]?.info,
  );
  const isolates = keys.required && options.sharePrefixesBetweenKeys !== true;
  const { drain = createDrain() } = options;
  const limits = new ClientLimits({
    concurrentRequests: options.maxConcurrentRequestsPerKey ?? 0,
    requestsPerMinute: options.rateLimitRequests ?? 0,
    tokensPerMinute: options.rateLimitTokens ?? 0,
  });
  const isolated = isolates ? isolateClients(serving) : serving;
  const context: ApiContext = {
    serving: options.enableLogRequests ? logRequests(isolated, logger) : isolated,
    logger,
    metrics: engineMetrics,
    drain,
    limits,
    streams: keptStreams(options),
  };

  const app = new OpenAPIHono({ defaultHook: refuseInvalid });
  app.use(requestId);
  app.use(accessLog(logger));
  app.use(async (c, next) => {
    // What a model or a client has said is never to be taken for a page or a script.
    c.header('X-Content-Type-Options', 'nosniff');
    await next();
  });
  if (allowedOrigins.length > 0) {
    app.use(
      cors({ origin: allowedOrigins.includes('*') ? '*' : [...allowedOrigins], exposeHeaders: ['X-Request-Id'] }),
    );
  }
  const protocols = neighbours(context);
  for (const { routes, probes, toError } of protocols) {
    for (const { path } of [...routes.routes, ...(probes?.routes ?? [])]) app.use(path, answerErrorsAs(toError));
  }
  const guards = [...(keys.required ? [requireKey(keys, 'inference')] : []), limitBody(maxBodyBytes), limitDepth];
  for (const path of ['/v1/*', ...TOKEN_PATHS, ...SCORING_PATHS]) app.use(path, ...guards);
  // A route is listed once for each of its handlers.
  const guarded = new Map(
    protocols.flatMap(({ routes }) => routes.routes.map((one) => [`${one.method} ${one.path}`, one])),
  );
  for (const { path, method } of guarded.values()) {
    if (!path.startsWith('/v1/')) app.on(method, [path], ...guards);
  }

  app.route('/v1', chatCompletions(context));
  app.route('/v1', completions(context));
  app.route('/v1', responses(context));
  app.route('/v1', models(context));
  app.route('/v1', embeddings(context));
  app.route('/v1', streams(context));
  app.route('/', scoring(context));
  app.route('/', tokens(context));
  for (const { routes, probes } of protocols) {
    app.route('/', routes);
    if (probes) app.route('/', probes);
  }
  app.route('/', health(context));
  // Scrapers that know no keys go on working until there is a key for them.
  app.use('/metrics', requireKey(keys, 'metrics', { unlessNobodyHasIt: true }));
  app.route('/', metrics(context));
  app.get('/', (c) =>
    c.json({
      name: 'quire',
      api: '/v1',
      openapi: '/openapi.json',
      docs: '/docs',
      health: '/health',
      metrics: '/metrics',
    }),
  );
  app.doc31('/openapi.json', API);
  app.route(
    '/',
    docs(() => app.getOpenAPI31Document(API)),
  );

  refuseOtherMethods(app);
  app.notFound((c) => {
    const message = `Unknown request URL: ${c.req.method} ${c.req.path}. GET /openapi.json lists the URLs of this server.`;
    return answerError(new ApiError(404, message, { code: 'unknown_url' }), c, logger);
  });
  app.onError((error, c) => answerError(error, c, logger));
  return app;
}

function keptStreams({ streamResumeWindow = 0 }: AppOptions): StreamStore | undefined {
  return streamResumeWindow > 0 ? createStreamStore(randomUUID, { windowMs: streamResumeWindow * 1000 }) : undefined;
}

/** After all routes: answers 405 where another method would have found a route. */
function refuseOtherMethods(app: OpenAPIHono): void {
  const methods = new Map<string, Set<string>>();
  for (const { path, method } of app.routes) {
    if (method !== 'ALL') methods.set(path, (methods.get(path) ?? new Set()).add(method));
  }
  for (const [path, allowed] of methods) {
    app.all(path, (c) => {
      throw new ApiError(405, `Not allowed to ${c.req.method} on ${c.req.path}: use ${[...allowed].join(' or ')}.`, {
        code: 'method_not_supported',
        headers: { Allow: [...allowed].join(', ') },
      });
    });
  }
}

function answerError(error: Error, c: Context, logger: Logger): Response {
  const reply = toErrorReply(error);
  const { status, body } = errorFormatOf(c)?.(reply, c) ?? reply;
  // Who has left gets no answer, and that its request could not be finished is no fault to report.
  if (isFault(error, { status }) && !c.req.raw.signal.aborted)
    logger.error({ err: error, path: c.req.path }, 'a request failed');
  return c.json(body, status, reply.headers);
}
