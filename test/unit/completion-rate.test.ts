import { expect, it } from 'vitest';
import { CompletionRate } from '../../src/serving/admission/completion-rate.js';

it('the rate of completions is that of the latest, and falls while nothing ends', () => {
  const rate = new CompletionRate();
  expect(rate.perSecond(0)).toBeUndefined();
  rate.completed(0);
  expect(rate.perSecond(1000)).toBeUndefined();
  for (let i = 1; i <= 100; i++) rate.completed(i * 100);
  expect(rate.perSecond(10_000)).toBeCloseTo(10);
  for (let i = 1; i <= 64; i++) rate.completed(10_000 + i * 10);
  expect(rate.perSecond(10_640)).toBeCloseTo(100);
  expect(rate.perSecond(20_640)!).toBeLessThan(7);
});
