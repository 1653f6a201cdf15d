import { describe, expect, it } from 'vitest';
import { planRequantization } from '../../src/serving/models/requantize.js';

const weights = (bytes: Record<string, number>) =>
  Object.entries(bytes).map(([type, size]) => ({ type, tensors: 1, bytes: size }));

describe('planRequantization', () => {
  it('re-encodes slow types to Q8_0, and says why', () => {
    for (const type of ['Q4_1', 'Q5_1']) {
      const plan = planRequantization(weights({ [type]: 66, Q8_0: 30, F32: 1 }), 'auto');
      expect(plan).toMatchObject({ from: type, to: 'Q8_0', reason: expect.stringContaining(type) });
    }
  });

  it('leaves fast types alone, and models with a few slow tensors', () => {
    for (const type of ['Q4_0', 'Q5_0', 'Q8_0', 'Q4_K', 'Q6_K', 'IQ4_NL', 'F16', 'BF16']) {
      expect(planRequantization(weights({ [type]: 90, F32: 1 }), 'auto')).toBeUndefined();
    }
    expect(planRequantization(weights({ Q4_K: 80, Q5_1: 20 }), 'auto')).toBeUndefined();
  });

  it('counts slow types together when the fast one is the largest', () => {
    expect(planRequantization(weights({ Q8_0: 60, Q5_1: 22, Q4_1: 18 }), 'auto')?.from).toBe('Q5_1');
  });

  it('does what it is told', () => {
    expect(planRequantization(weights({ Q4_1: 100 }), 'off')).toBeUndefined();
    expect(planRequantization(weights({ Q8_0: 100 }), 'Q4_0')).toMatchObject({ from: 'Q8_0', to: 'Q4_0' });
    expect(planRequantization(weights({ Q8_0: 100 }), 'Q8_0')).toBeUndefined();
    expect(() => planRequantization(weights({ Q8_0: 100 }), 'Q9')).toThrow('Q9 is not a weight type');
  });
});
