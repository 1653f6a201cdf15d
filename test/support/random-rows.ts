import { createHash } from 'node:crypto';

/** Factor for all rows, or for each. */
export type Gain = number | ((row: number) => number);

/** Numbers of mean 0 and variance gain² / columns: products with vectors of variance 1 have variance gain². */
export function* randomRows(seed: string, columns: number, rows: number, gain: Gain): Generator<Float32Array> {
  const next = uniform(seed);
  const values = new Float32Array(columns);
  for (let row = 0; row < rows; row++) {
    const deviation = (typeof gain === 'number' ? gain : gain(row)) / Math.sqrt(columns);
    const range = deviation * Math.sqrt(3);
    for (let column = 0; column < columns; column++) values[column] = range * next();
    yield values;
  }
}

/** Numbers evenly spread over [-1, 1), the same everywhere for the same seed: a Weyl sequence through a 32-bit mixer. */
function uniform(seed: string): () => number {
  let state = createHash('sha256').update(seed).digest().readUInt32LE();
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let x = Math.imul(state ^ (state >>> 16), 0x85ebca6b);
    x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
    return (x ^ (x >>> 16)) / 2 ** 31;
  };
}
