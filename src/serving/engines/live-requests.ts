import type { EngineEvent, EngineRequest, FinishReason } from '../../engine/protocol.js';
import { RequestError } from '../errors.js';

/** The requests an engine is working on, and who listens to each. */
export interface LiveRequests {
  /** @throws RequestError when a request with this id is live. */
  add(request: EngineRequest, onEvents: (events: EngineEvent[]) => void): void;
  /** Hands the events of one step to their listeners, one call per request. */
  dispatch(events: readonly EngineEvent[]): void;
  /** Ends everything that is still running, for an engine that will send no more events. */
  finishAll(reason: FinishReason): void;
}

interface LiveRequest {
  openChoices: Set<number>;
  onEvents(events: EngineEvent[]): void;
}

export function createLiveRequests(): LiveRequests {
  const live = new Map<string, LiveRequest>();

  function deliver(requestId: string, events: EngineEvent[]): void {
    const request = live.get(requestId);
    if (request === undefined) return;
    for (const event of events) {
      if (event.type === 'finished') request.openChoices.delete(event.choice);
      if (event.type === 'rejected') request.openChoices.clear();
    }
    if (request.openChoices.size === 0) live.delete(requestId);
    request.onEvents(events);
  }

  return {
    add(request, onEvents) {
      if (live.has(request.id)) throw new RequestError(`A request with the id ${request.id} is already running.`);
      live.set(request.id, { openChoices: new Set(Array(request.n).keys()), onEvents });
    },

    dispatch(events) {
      const byRequest = new Map<string, EngineEvent[]>();
      for (const event of events) {
        const own = byRequest.get(event.requestId);
        if (own === undefined) byRequest.set(event.requestId, [event]);
        else own.push(event);
      }
      for (const [requestId, own] of byRequest) deliver(requestId, own);
    },

    finishAll(reason) {
      for (const [requestId, { openChoices }] of live) {
        deliver(
          requestId,
          [...openChoices].map((choice) => ({ type: 'finished', requestId, choice, reason })),
        );
      }
    },
  };
}
