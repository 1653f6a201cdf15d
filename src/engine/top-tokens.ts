/**
 * The k highest entries of `values`, best first; equal values in order of index. O(n log k), and close to O(n) on real
 * logits: an entry is looked at twice only if it beats the k-th best so far.
 */
export function topIndices(values: Float32Array, k: number): Int32Array {
  const size = Math.min(k, values.length);
  if (size === 0) return new Int32Array(0);
  if (size === 1) return Int32Array.of(argMax(values));
  // A heap with the worst entry kept on top. `worse` orders by value, then by index, so the outcome is unique.
  const heap = new Int32Array(size);
  const worse = (a: number, b: number): boolean => values[a] < values[b] || (values[a] === values[b] && a > b);
  const sink = (from: number, count: number): void => {
    const item = heap[from];
    let i = from;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= count) break;
      if (child + 1 < count && worse(heap[child + 1], heap[child])) child++;
      if (!worse(heap[child], item)) break;
      heap[i] = heap[child];
      i = child;
    }
    heap[i] = item;
  };
  for (let i = 0; i < size; i++) heap[i] = i;
  for (let i = (size >> 1) - 1; i >= 0; i--) sink(i, size);
  let threshold = values[heap[0]];
  for (let i = size; i < values.length; i++) {
    if (values[i] > threshold) {
      heap[0] = i;
      sink(0, size);
      threshold = values[heap[0]];
    }
  }
  for (let count = size - 1; count > 0; count--) {
    const worst = heap[0];
    heap[0] = heap[count];
    heap[count] = worst;
    sink(0, count);
  }
  return heap;
}

/** Index of the highest entry; the first of equals. */
export function argMax(values: Float32Array): number {
  let best = 0;
  let highest = values[0];
  for (let i = 1; i < values.length; i++) {
    if (values[i] > highest) {
      highest = values[i];
      best = i;
    }
  }
  return best;
}
