import { setTimeout as sleep } from 'node:timers/promises';
import type { EmbedRequest, EngineConfig, EngineEvent, EngineRequest } from '../../engine/protocol.js';
import { EngineUnavailableError, RequestError } from '../errors.js';
import { type EngineClient, type EngineFailure, EngineStartError } from './engine-client.js';
import { KeptMemory } from './kept-memory.js';
import type { EngineStatus, SupervisedEngine, SupervisorParts } from './supervised-engine.js';

/** Whatever an engine dies of after such a time, it can be started. */
const LONG_LIFE_MS = 60_000;

/** What the client of a request is told that engines die of. */
const POISON =
  'The engine crashed each time it computed this request, which was therefore ended. Do not send it again.';

/** A request is tried alone after so many deaths with it in the batch, and ended after so many more. */
const DEATHS_TO_SUSPECT = 2;
const DEATHS_TO_END = 4;

type Message = { type: 'add'; request: EngineRequest } | { type: 'embed'; request: EmbedRequest };
type OnEvents = (events: EngineEvent[]) => void;

/** A request that has not ended, and all it takes to go on with it on another engine. */
interface LiveRequest {
  message: Message;
  onEvents: OnEvents;
  /** Tokens of each choice that has not ended, as the client was told. */
  open: Map<number, number[]>;
  /** Choices that the engine was told to end. */
  aborted: Set<number>;
  /** The engine that runs now has it. */
  isHanded: boolean;
  /** It has been in the batch of that engine. */
  isAdmitted: boolean;
  /** How often an engine died with it in the batch since it last got on. */
  deaths: number;
}

/**
 * An engine that outlives its processes. When one dies, another is started, and every request goes on where it was:
 * prompt and tokens so far are computed anew, to the same bits, so that nobody sees more than a pause.
 *
 * A request that an engine has died with twice, without a token in between, is tried alone; if engines die of it
 * still, it is ended, and the others go on.
 *
 * If engines die whatever they do, the circuit is opened: all requests are ended, new ones are refused with the reason,
 * and another start is tried now and then. An engine that comes up gets requests again, and no more patience than it has
 * earned: until somebody gets on, the next death opens the circuit at once.
 *
 * @throws EngineStartError when the first process does not come up
 */
export async function superviseEngine(parts: SupervisorParts): Promise<SupervisedEngine> {
  const memory = parts.keepsKVCache ? new KeptMemory() : undefined;
  return new Supervisor(parts, memory, await parts.startEngine(parts.config, { ...parts.hooks, memory }));
}

class Supervisor implements SupervisedEngine {
  readonly closed: Promise<EngineFailure | undefined>;
  private readonly parts: SupervisorParts;
  private readonly memory: KeptMemory | undefined;
  private readonly live = new Map<string, LiveRequest>();
  private state: 'running' | 'restarting' | 'given-up' | 'closing' | 'gone' = 'running';
  /** What the last engine died of, or did not start for. */
  private failure: EngineFailure = { reason: '' };
  private retryAt = 0;
  /** The engine that runs, or the one that ran last. */
  private engine: EngineClient;
  /** Requests that are tried one after the other, each alone, before the others go on. */
  private suspects: LiveRequest[] = [];
  private startedAt = performance.now();
  private restarted = 0;
  /** Since a request last got on. */
  private deaths = 0;
  private readonly stopStarting = new AbortController();
  private settle!: () => void;

  constructor(parts: SupervisorParts, memory: KeptMemory | undefined, first: EngineClient) {
    this.parts = parts;
    this.memory = memory;
    this.engine = first;
    this.closed = new Promise((resolve) => {
      this.settle = () => resolve(undefined);
    });
    this.watch(first);
  }

  get info() {
    return this.engine.info;
  }

  stats() {
    const stats = this.engine.stats();
    if (this.state === 'running') return stats;
    // What it held is gone with it.
    const blocks = { blocksUsed: 0, blocksCached: 0, blocksFree: stats.blocksTotal };
    return { ...stats, ...blocks, runningSequences: 0, waitingRequests: this.live.size };
  }

  status(): EngineStatus {
    switch (this.state) {
      case 'running':
        return { state: 'running' };
      case 'restarting':
        return { state: 'restarting', ...this.failure };
      case 'given-up':
        return { state: 'given-up', retryAt: this.retryAt, ...this.failure };
      default:
        return { state: 'closed' };
    }
  }

  restarts(): number {
    return this.restarted;
  }

  submit(request: EngineRequest, onEvents: OnEvents): void {
    this.take({ type: 'add', request }, onEvents, request.n);
  }

  embed(request: EmbedRequest, onEvents: OnEvents): void {
    this.take({ type: 'embed', request }, onEvents, 1);
  }

  abort(requestId: string, choice?: number): void {
    const request = this.live.get(requestId);
    if (request === undefined) return;
    const choices = choice === undefined ? [...request.open.keys()] : [choice];
    if (this.state === 'running' && request.isHanded) {
      for (const one of choices) request.aborted.add(one);
      this.engine.abort(requestId, choice);
    } else this.end(request, choices, 'abort');
  }

  async close(): Promise<void> {
    if (this.state === 'running') {
      this.state = 'closing';
      await this.engine.close();
    } else if (this.state === 'restarting' || this.state === 'given-up') {
      this.state = 'closing';
      this.stopStarting.abort();
    }
    if (this.state === 'closing') this.leave();
    await this.closed;
  }

  private take(message: Message, onEvents: OnEvents, choices: number): void {
    if (this.state === 'closing' || this.state === 'gone') {
      throw new EngineUnavailableError('The engine is not running.');
    }
    if (this.state === 'given-up') {
      throw new EngineUnavailableError(`The engine is not running: ${this.failure.reason}`);
    }
    const { id } = message.request;
    if (this.live.has(id)) throw new RequestError(`A request with the id ${id} is already running.`);
    const open = new Map(Array.from({ length: choices }, (_, choice) => [choice, []]));
    const request: LiveRequest = {
      message,
      onEvents,
      open,
      aborted: new Set(),
      isHanded: false,
      isAdmitted: false,
      deaths: 0,
    };
    this.live.set(id, request);
    if (this.state === 'running' && this.suspects.length === 0) this.hand(request);
  }

  /** Hands a request to the engine: anew, or from where it was. */
  private hand(request: LiveRequest): void {
    const { message, open } = request;
    const { engine } = this;
    const onEvents = (events: EngineEvent[]): void => {
      // An engine that is gone says nothing, but what it said may still be on its way.
      if (engine === this.engine) this.receive(request, events);
    };
    const hasBegun = [...open.values()].some((tokens) => tokens.length > 0);
    const resume = hasBegun ? [...open].map(([choice, tokens]) => ({ choice, tokens })) : null;
    try {
      if (message.type === 'embed') engine.embed(message.request, onEvents);
      else engine.submit({ ...message.request, resume }, onEvents);
      request.isHanded = true;
    } catch (error) {
      // It has just died, which we shall be told of.
      if (!(error instanceof EngineUnavailableError)) throw error;
    }
  }

  private receive(request: LiveRequest, events: EngineEvent[]): void {
    const { open, message } = request;
    for (const event of events) {
      switch (event.type) {
        case 'admitted':
          request.isAdmitted = true;
          break;
        case 'token':
          open.get(event.choice)?.push(event.token);
          this.gotOn(request);
          break;
        case 'embedding':
          this.gotOn(request);
          break;
        case 'finished':
          open.delete(event.choice);
          break;
        case 'rejected':
          open.clear();
          break;
      }
    }
    if (open.size === 0) this.live.delete(message.request.id);
    request.onEvents(events);
    if (this.suspects[0] === request && (request.deaths === 0 || open.size === 0)) this.clear(request);
  }

  /** A suspect has got on: the next one's turn, or everybody's. */
  private clear(suspect: LiveRequest): void {
    this.suspects.splice(this.suspects.indexOf(suspect), 1);
    if (this.state !== 'running') return;
    const [next] = this.suspects;
    if (next !== undefined) this.hand(next);
    else this.handAll();
  }

  private handAll(): void {
    for (const request of [...this.live.values()]) if (!request.isHanded) this.hand(request);
  }

  private gotOn(request: LiveRequest): void {
    request.deaths = 0;
    this.deaths = 0;
  }

  private watch(engine: EngineClient): void {
    engine.closed.then((failure) => {
      if (this.state !== 'running' || engine !== this.engine) return;
      this.died(failure ?? { reason: 'The engine ended.' });
    });
  }

  private died(failure: EngineFailure): void {
    this.state = 'restarting';
    this.failure = failure;
    const livedMs = performance.now() - this.startedAt;
    if (livedMs > LONG_LIFE_MS) this.deaths = 0;
    this.memory?.engineDied(livedMs, this.deaths === 0);
    for (const request of [...this.live.values()]) {
      this.end(request, [...request.aborted], 'abort');
      if (request.isAdmitted) request.deaths++;
      request.isHanded = false;
      request.isAdmitted = false;
    }
    this.parts.hooks.onLog?.('error', `${failure.reason} Requests that it had: ${this.live.size}.`);
    for (const request of [...this.live.values()].filter(({ deaths }) => deaths >= DEATHS_TO_END)) {
      const { id } = request.message.request;
      this.parts.hooks.onLog?.('error', `Engines die of the request ${id}: it is ended.`);
      this.end(request, [...request.open.keys()], 'error', POISON);
      // It was the request, not the engine.
      this.deaths = 0;
    }
    this.restart();
  }

  private async restart(): Promise<void> {
    const { hooks, startEngine, restartDelaysMs, retryMs } = this.parts;
    const config = this.configOfNext();
    while (this.state === 'restarting' || this.state === 'given-up') {
      const delay = restartDelaysMs[this.deaths];
      this.deaths++;
      if (delay === undefined) this.giveUp();
      // Nobody is kept alive by an engine that may never come.
      const { signal } = this.stopStarting;
      await sleep(delay ?? retryMs, undefined, { signal, ref: delay !== undefined }).catch(() => {});
      if (this.isLeaving()) return;
      try {
        const { signal } = this.stopStarting;
        const engine = await startEngine(config, { ...hooks, onProgress() {}, signal, memory: this.memory });
        // It may have been closed meanwhile.
        if (this.isLeaving()) {
          await engine.close();
          this.memory?.discard();
        } else this.goOn(engine);
        return;
      } catch (error) {
        if (this.isLeaving()) return;
        this.failure =
          error instanceof EngineStartError ? { reason: error.message, hint: error.hint } : { reason: String(error) };
        this.parts.hooks.onLog?.('error', `The engine did not start. ${this.failure.reason}`);
        this.memory?.discard();
      }
    }
  }

  /** Another one has the sizes that requests were measured by, however much memory is free by now. */
  private configOfNext(): EngineConfig {
    const { config } = this.parts;
    const { kvBackend, kvCacheBytes, maxModelLen } = this.engine.info;
    const { batchInvariant, batchInvariantReason, rowPadding, lanes, selfTested } = this.engine.info;
    const verdict = { batchInvariant, batchInvariantReason, rowPadding, lanes, selfTested };
    return kvBackend === 'pages' ? { ...config, kvCacheBytes, maxModelLen, verdict } : config;
  }

  /** A method, because TypeScript does not know that others change the state while one waits. */
  private isLeaving(): boolean {
    return this.state === 'closing' || this.state === 'gone';
  }

  /** Nobody waits any longer; but the engine may come up yet. */
  private giveUp(): void {
    const { reason, hint } = this.failure;
    const { retryMs, hooks } = this.parts;
    const often = `The engine died ${this.deaths} times, and no request got on in between. `;
    if (this.deaths > 1 && !reason.startsWith('The engine died')) this.failure = { reason: often + reason, hint };
    this.state = 'given-up';
    this.retryAt = Date.now() + retryMs;
    const next = `The next start is tried in ${Math.round(retryMs / 1000)} s.`;
    hooks.onLog?.('error', [this.failure.reason, hint, next].filter(Boolean).join(' '));
    for (const request of [...this.live.values()]) this.end(request, [...request.open.keys()], 'error');
  }

  private goOn(engine: EngineClient): void {
    this.engine = engine;
    this.startedAt = performance.now();
    this.restarted++;
    this.state = 'running';
    this.watch(engine);
    this.suspects = [...this.live.values()].filter(({ deaths }) => deaths >= DEATHS_TO_SUSPECT);
    const [suspect] = this.suspects;
    if (suspect) this.hand(suspect);
    else this.handAll();
  }

  /** Ends choices of a request that no engine has, those of them that have not ended. */
  private end(request: LiveRequest, choices: readonly number[], reason: 'abort' | 'error', message?: string): void {
    const { id } = request.message.request;
    const ended = choices.filter((choice) => request.open.delete(choice));
    if (request.open.size === 0) {
      this.live.delete(id);
      this.suspects = this.suspects.filter((suspect) => suspect !== request);
    }
    if (ended.length === 0) return;
    const why = message === undefined ? {} : { message };
    request.onEvents(ended.map((choice) => ({ type: 'finished', requestId: id, choice, reason, ...why })));
  }

  private leave(): void {
    this.state = 'gone';
    for (const request of [...this.live.values()]) this.end(request, [...request.open.keys()], 'abort');
    this.memory?.discard();
    this.settle();
  }
}
