import { activeFaults } from '../faults/index.js';
import { Admission } from './admission/index.js';
import { answerGrammar } from './answer-grammar.js';
import { createDeployments, type Deployment } from './deployments/index.js';
import { embedPrompts } from './embedding.js';
import { toEngineRequest } from './engine-request.js';
import { EngineUnavailableError } from './errors.js';
import { startGeneration } from './generation.js';
import { type Backend, loadBackend, type ServingParts } from './load-backend.js';
import { parseServingOptions, type ServingOptions, type ServingOptionsInput } from './options.js';
import { decodeTokens, encodePrompt } from './text/index.js';
import { checkTokenIds } from './token-ids.js';
import { tokenRules } from './token-rules.js';
import type { Serving, ServingState } from './types.js';

/** A serving that may still be loading. */
export interface LoadingServing extends Serving {
  /** Resolves when requests can be taken; rejects with the reason when that will not happen. */
  whenReady(): Promise<void>;
}

/**
 * Starts to load a model and serves it once it is loaded. Returns at once: `state()` and `whenReady()` tell how far it
 * is, and until then `generate()` throws EngineUnavailableError.
 *
 * @throws ServingOptionsError, FaultSpecError
 */
export function createServing(input: ServingOptionsInput = {}, parts: Partial<ServingParts> = {}): LoadingServing {
  const options = parseServingOptions(input);
  const deployments = createDeployments<Backend>();
  const closing = new AbortController();
  const admission = new Admission(options);
  const faults = activeFaults();
  if (faults !== undefined) parts.onLog?.('warn', `QUIRE_FAULTS: this server breaks on purpose: ${faults.text}`);
  /** Of the loading, and of the end; what becomes of the engine in between, the engine knows. */
  let state: ServingState = { state: 'loading', phase: 'starting', fraction: 0 };
  let engine: Backend['engine'] | undefined;

  const loading = loadBackend(options, parts, {
    signal: closing.signal,
    onProgress(phase, fraction) {
      if (state.state === 'loading') state = { state: 'loading', phase, fraction };
    },
  });
  const ready = loading.then(
    (backend) => {
      if (closing.signal.aborted)
        throw new EngineUnavailableError('The server was closed while the model was loading.');
      deployments.add(deploymentOf(backend, options));
      engine = backend.engine;
      state = { state: 'ready' };
    },
    (error) => {
      fail(error instanceof Error ? error.message : String(error), error?.hint);
      throw error;
    },
  );
  // Whoever does not ask for whenReady() learns of a failure from state().
  ready.catch(() => {});

  function fail(message: string, hint?: string): void {
    if (state.state !== 'closed') state = { state: 'failed', message, hint };
  }

  function currentState(): ServingState {
    const status = engine?.status();
    if (state.state !== 'ready' || status === undefined) return state;
    if (status.state === 'restarting') return { state: 'restarting', message: status.reason, hint: status.hint };
    if (status.state !== 'given-up') return state;
    return { state: 'failed', message: status.reason, hint: status.hint, retryAt: status.retryAt };
  }

  /** What needs no engine is served without one. */
  function checkLoaded(): void {
    if (state.state !== 'ready') checkReady();
  }

  function checkReady(): void {
    const now = currentState();
    switch (now.state) {
      case 'ready':
      case 'restarting':
        return;
      case 'loading':
        throw new EngineUnavailableError(`The model is still loading (${now.phase}). Try again shortly.`);
      case 'failed': {
        const retryAfter = now.retryAt && Math.max(1, Math.ceil((now.retryAt - Date.now()) / 1000));
        throw new EngineUnavailableError(`The engine is not running: ${now.message}`, { retryAfter });
      }
      case 'closed':
        throw new EngineUnavailableError('The server is shutting down.');
    }
  }

  return {
    state: currentState,
    whenReady: () => ready,
    models: () => deployments.list(),

    resolveModel(name) {
      checkLoaded();
      return deployments.resolve(name).served;
    },

    async generate(request, signal) {
      checkReady();
      const { backend, served } = deployments.resolve(request.model);
      const { engine, text, grammars } = backend;
      if (!request.followsOn) admission.check(request);
      const { tokenIds, rendered } = encodePrompt(request.prompt, text, engine.info.maxModelLen, request.tools);
      const grammar = await answerGrammar(request, { grammars, ...text }, rendered);
      const sampling = tokenRules(request, text, rendered);
      const engineRequest = toEngineRequest({ ...request, sampling }, tokenIds, engine.info, grammar);
      await request.onCounted?.(tokenIds.length, (request.sampling.maxTokens ?? 0) * engineRequest.n);
      const model = { served, engine, admission, tokenizer: text.tokenizer, format: text.format };
      return startGeneration(model, request, engineRequest, rendered, signal);
    },

    async embed(request, signal) {
      checkReady();
      const { backend, served } = deployments.resolve(request.model);
      return embedPrompts({ ...backend, admission }, served, request, signal);
    },

    tokenize(name, prompt, tools) {
      checkLoaded();
      const { backend, served } = deployments.resolve(name);
      const { tokenIds, rendered } = encodePrompt(prompt, backend.text, served.maxModelLen, tools);
      const { tokenizer } = backend.text;
      return {
        model: served,
        tokenIds,
        rendered,
        pieces: () => Array.from(tokenIds, (id) => tokenizer.piece(id, true)),
      };
    },

    detokenize(name, tokenIds) {
      checkLoaded();
      const { backend, served } = deployments.resolve(name);
      const { tokenizer } = backend.text;
      checkTokenIds(tokenIds, tokenizer.vocabulary.size, 'tokens');
      return { model: served, text: decodeTokens(tokenizer, tokenIds) };
    },

    stats() {
      if (state.state !== 'ready' || engine === undefined) return undefined;
      return { ...engine.stats(), engineRestarts: engine.restarts() };
    },

    async close() {
      state = { state: 'closed' };
      closing.abort();
      const backend = await loading.catch(() => undefined);
      await backend?.engine.close();
      backend?.grammars.dispose();
      backend?.text.dispose();
    },
  };
}

function deploymentOf(backend: Backend, options: ServingOptions): Deployment<Backend> {
  const names = options.servedModelName.length > 0 ? options.servedModelName : [backend.name];
  const { info } = backend.engine;
  const created = Math.floor(Date.now() / 1000);
  return { names, served: { id: names[0]!, created, maxModelLen: info.maxModelLen, info }, backend };
}
