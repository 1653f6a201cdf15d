import type { Append, Cache } from './caches.js';

export function milliseconds(work: () => void): number {
  const began = performance.now();
  work();
  return performance.now() - began;
}

/**
 * Lets contenders take turns, so that a machine that grows slower for a while slows all of them; each round begins with
 * the next one. Returns what was measured for each, in the order of the rounds.
 */
export function inTurns<Contender>(
  rounds: number,
  contenders: readonly Contender[],
  measure: (contender: Contender, round: number) => number,
): number[][] {
  const samples = contenders.map(() => new Array<number>(rounds));
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < contenders.length; i++) {
      const turn = (round + i) % contenders.length;
      samples[turn]![round] = measure(contenders[turn]!, round);
    }
  }
  return samples;
}

/**
 * Milliseconds of a step that decodes one token for each of these sequences: the mean of `steps`, after one that is not
 * counted. The sequences are as long afterwards as before.
 */
export function decodeStepMs(cache: Cache, sequences: readonly number[], steps: number): number {
  const lengths = sequences.map(cache.length);
  const appends: Append[] = sequences.map((sequence) => ({ sequence, count: 1 }));
  cache.step(appends);
  const ms = milliseconds(() => {
    for (let i = 0; i < steps; i++) cache.step(appends);
  });
  sequences.forEach((sequence, i) => {
    cache.rewind(sequence, lengths[i]!);
  });
  return ms / steps;
}
