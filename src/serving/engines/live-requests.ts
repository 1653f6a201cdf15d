import type { EngineEvent, EngineRequest, FinishReason } from '../../engine/protocol.js';
import { RequestError } from '../errors.js';

/** The requests an engine is working on, and who listens to each. */
export interface LiveRequests {
  /** @throws RequestError when a request with this id is live. */
  add(request: Pick<EngineRequest, 'id' | 'n'>, onEvents: (events: EngineEvent[]) => void): void;
  /** Hands the events of one step to their listeners, one call per request. */
  dispatch(events: readonly EngineEvent[]): void;
  /** Ends everything that is still running, for an engine that will send no more events. */
  finishAll(reason: FinishReason): void;
}

interface LiveRequest {
  id: string;
  openChoices: Set<number>;
  /** Not handed to the listener yet. */
  arrived: EngineEvent[];
  onEvents(events: EngineEvent[]): void;
}

export function createLiveRequests(): LiveRequests {
  const live = new Map<string, LiveRequest>();

  function arrive(request: LiveRequest, event: EngineEvent): void {
    request.arrived.push(event);
    if (event.type === 'finished') request.openChoices.delete(event.choice);
    if (event.type === 'rejected') request.openChoices.clear();
  }

  function deliver(request: LiveRequest): void {
    const events = request.arrived;
    // A listener may have caused the end of all requests meanwhile, and with it this one's delivery.
    if (events.length === 0) return;
    request.arrived = [];
    if (request.openChoices.size === 0) live.delete(request.id);
    request.onEvents(events);
  }

  return {
    add({ id, n }, onEvents) {
      if (live.has(id)) throw new RequestError(`A request with the id ${id} is already running.`);
      live.set(id, { id, openChoices: new Set(Array(n).keys()), arrived: [], onEvents });
    },

    dispatch(events) {
      const touched: LiveRequest[] = [];
      for (const event of events) {
        const request = live.get(event.requestId);
        if (request === undefined) continue;
        if (request.arrived.length === 0) touched.push(request);
        arrive(request, event);
      }
      for (const request of touched) deliver(request);
    },

    finishAll(reason) {
      for (const request of live.values()) {
        for (const choice of request.openChoices) {
          arrive(request, { type: 'finished', requestId: request.id, choice, reason });
        }
        deliver(request);
      }
    },
  };
}
