import type { Context } from 'hono';
import {
  EngineUnavailableError,
  type GeneratedToken,
  type Generation,
  type GenerationDelta,
  type GenerationEvent,
  type GenerationFinish,
  type GenerationRequest,
  type ServedModel,
  type Usage,
} from '../../serving/index.js';
import type { ApiContext } from '../context.js';
import { callerOf } from '../limits/index.js';
import { merge } from '../merge.js';
import type { StreamStore } from '../stream-store.js';

/** The end of a choice that has been answered; other reasons become errors. */
export type ChoiceEnd = GenerationFinish & { reason: 'stop' | 'length' | 'tool_calls' };

/** One HTTP request while it is being answered: a generation for each of its prompts, seen as one. */
export interface Submission {
  readonly model: ServedModel;
  /** Number of choices over all prompts. */
  readonly choices: number;
  /** Events of all prompts as they come, once; choice c of prompt p has the index p · n + c. */
  readonly events: AsyncIterable<GenerationEvent>;
  /**
   * To be called with every event, in order: counts it in the metrics and returns it.
   * @throws EngineUnavailableError when it says that a choice cannot be finished.
   */
  take(event: GenerationEvent): GenerationDelta | ChoiceEnd;
  /** Lets it outlive its client: where streams are kept, for those who come back. Undefined elsewhere. */
  readonly keep?: { streams: StreamStore; stayOn(): void };
  /** To be called once when nobody reads events any more; aborts what still runs. */
  end(): void;
  /** Sums over all prompts: running totals, final once `events` has ended. */
  usage(): Usage;
  /** Of each prompt. */
  promptTokenIds(): Int32Array[];
  /** Of each prompt, once its first event has come; undefined where they were not asked for. */
  promptLogprobs(): ReturnType<Generation['promptLogprobs']>[];
}

/**
 * Hands one request per prompt to serving. All or none: when one is refused, the others are aborted.
 *
 * @param n Choices for each prompt.
 * @param c Tells whose request it is, and is told the headers about the client's limits.
 * @throws RequestError and its kinds, EngineUnavailableError, OverloadedError, ApiError
 */
export async function submit(
  { serving, metrics, drain, limits, streams }: ApiContext,
  requests: readonly GenerationRequest[],
  n: number,
  c: Context,
): Promise<Submission> {
  const { signal, client, timeoutMs } = callerOf(c);
  const allowed = await limits.begin(client ?? '');
  const connection = streams && detachable(signal);
  const choices = requests.length * n;
  const generations: Generation[] = [];
  const abort = (): void => {
    for (const generation of generations) generation.abort();
  };
  let leave = (): void => {};
  const timer = metrics.startRequest(choices);
  const onCounted = (promptTokens: number, maxTokens: number) => allowed.charge(promptTokens + maxTokens);
  try {
    leave = drain.begin(abort);
    for (const request of requests) {
      const further = generations.length > 0 && { followsOn: true };
      const asked = { ...request, tenant: client, timeoutMs, ...further, onCounted };
      generations.push(await serving.generate(asked, connection?.signal ?? signal));
      drain.checkEnded();
    }
  } catch (error) {
    abort();
    leave();
    allowed.end(0);
    throw error;
  }
  for (const [name, value] of Object.entries(allowed.headers())) c.header(name, value);
  return {
    model: (generations[0] as Generation).model,
    choices,
    keep: streams && connection && { streams, stayOn: connection.detach },
    events: allEvents(generations, n),
    take(event) {
      if (event.type === 'delta') {
        timer.delta(event.choice);
        return event;
      }
      timer.finish(event.reason);
      if (isAnswered(event)) return event;
      drain.checkEnded();
      throw new EngineUnavailableError('The engine stopped before the answer was complete. Send the request again.');
    },
    end() {
      leave();
      timer.end();
      abort();
      const { promptTokens, completionTokens } = sumUsage(generations);
      allowed.end(promptTokens + completionTokens);
    },
    usage: () => sumUsage(generations),
    promptTokenIds: () => generations.map((generation) => generation.promptTokenIds),
    promptLogprobs: () => generations.map((generation) => generation.promptLogprobs()),
  };
}

/** A signal that fires with another one until it is detached from it. */
function detachable(signal: AbortSignal): { signal: AbortSignal; detach(): void } {
  const own = new AbortController();
  const abort = (): void => own.abort(signal.reason);
  if (signal.aborted) abort();
  else signal.addEventListener('abort', abort);
  return { signal: own.signal, detach: () => signal.removeEventListener('abort', abort) };
}

function allEvents(generations: readonly Generation[], n: number): AsyncIterable<GenerationEvent> {
  const [only] = generations;
  if (only && generations.length === 1) return only.events;
  return merge(generations.map((generation, prompt) => withChoicesFrom(prompt * n, generation.events)));
}

async function* withChoicesFrom(
  first: number,
  events: AsyncIterable<GenerationEvent>,
): AsyncGenerator<GenerationEvent> {
  for await (const event of events) yield { ...event, choice: first + event.choice };
}

function isAnswered(finish: GenerationFinish): finish is ChoiceEnd {
  return finish.reason !== 'abort' && finish.reason !== 'error';
}

function sumUsage(generations: readonly Generation[]): Usage {
  const sum: Usage = { promptTokens: 0, cachedTokens: 0, completionTokens: 0, reasoningTokens: 0 };
  for (const generation of generations) {
    const usage = generation.usage();
    sum.promptTokens += usage.promptTokens;
    sum.cachedTokens += usage.cachedTokens;
    sum.completionTokens += usage.completionTokens;
    sum.reasoningTokens += usage.reasoningTokens;
  }
  return sum;
}

/** A tool call from its first delta to its last. */
export interface CollectedCall {
  id: string;
  name: string;
  /** JSON text. */
  arguments: string;
}

export interface Choice {
  text: string;
  reasoning: string;
  toolCalls: CollectedCall[];
  tokens: GeneratedToken[];
  end: ChoiceEnd;
}

/** Waits for the whole answer; choices are in the order of their index. */
export async function collect(submission: Submission): Promise<Choice[]> {
  const answers = Array.from({ length: submission.choices }, () => ({
    text: '',
    reasoning: '',
    toolCalls: [] as CollectedCall[],
    tokens: [] as GeneratedToken[],
  }));
  const ends: ChoiceEnd[] = [];
  try {
    for await (const event of submission.events) {
      const taken = submission.take(event);
      if (taken.type === 'finish') {
        ends.push(taken);
        continue;
      }
      const answer = answers[taken.choice]!;
      answer.text += taken.text;
      answer.reasoning += taken.reasoning;
      for (const token of taken.tokens) answer.tokens.push(token);
      for (const { index, id = '', name = '', arguments: json } of taken.toolCalls) {
        answer.toolCalls[index] ??= { id, name, arguments: '' };
        answer.toolCalls[index].arguments += json;
      }
    }
  } finally {
    submission.end();
  }
  ends.sort((a, b) => a.choice - b.choice);
  return ends.map((end) => ({ ...answers[end.choice]!, end }));
}

/** The fields that say how a choice ended; `stop_reason` is vLLM's. */
export function toWireFinish({ reason, stopReason }: ChoiceEnd) {
  return { finish_reason: reason, stop_reason: stopReason };
}
