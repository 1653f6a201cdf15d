import { describe, expect, it } from 'vitest';
import { type Waiter, WaitingRoom } from '../../src/serving/admission/waiting-room.js';

const turnedAway: Waiter[] = [];

function waiter(tenant = 'a', { priority = 0, tokens = 10 } = {}): Waiter {
  const own: Waiter = { tenant, priority, tokens, turnAway: () => turnedAway.push(own) };
  return own;
}

function room(maxRequests: number, maxTokens = 0) {
  turnedAway.length = 0;
  return new WaitingRoom({ maxRequests, maxTokens });
}

describe('a waiting room', () => {
  it('takes as many as it has places for, and one more when one has left', () => {
    const full = room(2);
    const first = waiter();
    expect([full.enter(first), full.enter(waiter()), full.enter(waiter())]).toEqual([true, true, false]);
    full.leave(first);
    full.leave(first);
    expect([full.enter(waiter()), full.enter(waiter()), full.size]).toEqual([true, false, 2]);
    expect(turnedAway).toEqual([]);
  });

  it('without a limit takes any number', () => {
    const wide = room(0);
    for (let i = 0; i < 5000; i++) expect(wide.enter(waiter())).toBe(true);
  });

  it('counts tokens, but lets in whoever comes when nobody waits', () => {
    const small = room(0, 100);
    const long = waiter('a', { tokens: 1000 });
    expect([small.enter(long), small.enter(waiter())]).toEqual([true, false]);
    small.leave(long);
    expect([small.enter(waiter()), small.enter(waiter('a', { tokens: 91 }))]).toEqual([true, false]);
    expect(small.enter(waiter('a', { tokens: 90 }))).toBe(true);
  });

  it('takes the further prompts of a call in any case', () => {
    const full = room(1);
    full.enter(waiter());
    full.join(waiter());
    expect(full.size).toBe(2);
    expect(full.enter(waiter())).toBe(false);
  });
});

describe('a full waiting room', () => {
  it('turns away the newest of the tenant with the most for one with fewer', () => {
    const full = room(4);
    const crowd = Array.from({ length: 4 }, () => waiter('crowd'));
    for (const one of crowd) full.enter(one);
    expect(full.enter(waiter('quiet'))).toBe(true);
    expect(turnedAway).toEqual([crowd[3]]);
    expect(full.enter(waiter('quiet'))).toBe(true);
    // Two each: nobody has more than the other.
    expect(full.enter(waiter('quiet'))).toBe(false);
    expect(full.enter(waiter('crowd'))).toBe(false);
    expect(turnedAway).toEqual([crowd[3], crowd[2]]);
    expect(full.size).toBe(4);
  });

  it('does not turn away a better priority for fairness', () => {
    const full = room(2);
    for (let i = 0; i < 2; i++) full.enter(waiter('crowd', { priority: -1 }));
    expect(full.enter(waiter('quiet'))).toBe(false);
  });

  it('turns nobody away when that would not be enough', () => {
    const full = room(0, 100);
    full.enter(waiter('a', { tokens: 80 }));
    full.enter(waiter('a', { tokens: 10, priority: -1 }));
    expect(full.enter(waiter('b', { tokens: 95 }))).toBe(false);
    expect(turnedAway).toEqual([]);
  });
});

describe('work that can wait', () => {
  const flex = () => waiter('a', { priority: 100 });

  it('is taken until half of the places are', () => {
    const half = room(4);
    expect([half.enter(flex()), half.enter(flex()), half.enter(flex())]).toEqual([true, true, false]);
    expect([half.enter(waiter()), half.isOpenTo(waiter()), half.isOpenTo(flex())]).toEqual([true, true, false]);
  });

  it('gives way to other work from then on, the newest first', () => {
    const half = room(4);
    const work = [flex(), flex()];
    for (const one of work) half.enter(one);
    for (let i = 0; i < 4; i++) expect(half.enter(waiter())).toBe(true);
    expect(turnedAway).toEqual([work[1], work[0]]);
    expect(half.enter(waiter())).toBe(false);
  });
});
