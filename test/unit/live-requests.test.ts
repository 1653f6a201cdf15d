import { describe, expect, it } from 'vitest';
import type { EngineEvent } from '../../src/engine/protocol.js';
import { createLiveRequests } from '../../src/serving/engines/live-requests.js';
import { RequestError } from '../../src/serving/errors.js';
import { engineRequest } from '../support/engine-requests.js';

const token = (requestId: string, choice: number, id: number): EngineEvent => ({
  type: 'token',
  requestId,
  choice,
  token: id,
});

const finished = (requestId: string, choice: number): EngineEvent => ({
  type: 'finished',
  requestId,
  choice,
  reason: 'length',
});

function requestWith(id: string, n = 1) {
  return engineRequest(id, Int32Array.of(1), { n });
}

describe('the events of a step', () => {
  it('reach each listener in one call and in their order, however requests are mixed', () => {
    const live = createLiveRequests();
    const calls: EngineEvent[][] = [];
    for (const id of ['a', 'b']) live.add(requestWith(id, 2), (events) => calls.push(events));
    const [a0, b0, a1, b1] = [token('a', 0, 1), token('b', 0, 2), token('a', 1, 3), token('b', 1, 4)];
    live.dispatch([a0, b0, a1, b1]);
    live.dispatch([token('b', 0, 5)]);
    expect(calls).toEqual([[a0, a1], [b0, b1], [token('b', 0, 5)]]);
  });

  it('reach nobody once all choices of their request have finished, and its id is free again', () => {
    const live = createLiveRequests();
    const calls: EngineEvent[][] = [];
    live.add(requestWith('a', 2), (events) => calls.push(events));
    live.dispatch([finished('a', 0)]);
    expect(() => live.add(requestWith('a'), () => {})).toThrow(RequestError);
    live.dispatch([finished('a', 1)]);
    live.dispatch([token('a', 0, 1), token('unknown', 0, 1)]);
    expect(calls).toHaveLength(2);
    live.add(requestWith('a'), () => {});
  });

  it('come before the end when a listener ends everything meanwhile', () => {
    const live = createLiveRequests();
    const ofB: EngineEvent[] = [];
    live.add(requestWith('a'), () => live.finishAll('error'));
    live.add(requestWith('b'), (events) => ofB.push(...events));
    live.dispatch([finished('a', 0), token('b', 0, 1)]);
    expect(ofB).toEqual([token('b', 0, 1), { type: 'finished', requestId: 'b', choice: 0, reason: 'error' }]);
  });
});
