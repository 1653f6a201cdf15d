import { describe, expect, it } from 'vitest';
import { createBatchingPolicy } from '../../src/scheduler/batching-policy.js';

describe('the dynamic policy', () => {
  it('waits for a window to pass or the batch to fill, and then takes nobody until it is empty', () => {
    const policy = createBatchingPolicy('dynamic', 50);
    const view = { maxNumSeqs: 4, running: 0 };
    expect(policy.admissions({ ...view, now: 100, waiting: 2 })).toBe(0);
    expect(policy.wakeAt()).toBe(150);
    expect(policy.admissions({ ...view, now: 149, waiting: 3 })).toBe(0);
    expect(policy.admissions({ ...view, now: 150, waiting: 3 })).toBe(3);
    policy.admitted(3);
    expect(policy.admissions({ ...view, now: 160, waiting: 5, running: 3 })).toBe(0);
    expect(policy.admissions({ ...view, now: 170, waiting: 5, running: 0 })).toBe(4);
  });

  it('takes members back that were preempted', () => {
    const policy = createBatchingPolicy('static', 0);
    const view = { now: 0, maxNumSeqs: 2, waiting: 2 };
    expect(policy.admissions({ ...view, running: 0 })).toBe(2);
    policy.admitted(2);
    policy.admitted(-1);
    expect(policy.admissions({ ...view, waiting: 1, running: 1 })).toBe(1);
  });
});
