import { compareSequences, type Sequence } from './sequence.js';

/**
 * Waiting sequences, best first: a binary heap, so that adding and taking are O(log n). Removing marks only: removed
 * sequences are dropped when they come to the top.
 */
export class WaitingQueue {
  private readonly heap: Sequence[] = [];
  private readonly removed = new Set<Sequence>();

  get size(): number {
    return this.heap.length - this.removed.size;
  }

  push(sequence: Sequence): void {
    const { heap } = this;
    let i = heap.push(sequence) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (compareSequences(heap[parent], sequence) <= 0) break;
      heap[i] = heap[parent];
      i = parent;
    }
    heap[i] = sequence;
  }

  peek(): Sequence | undefined {
    while (this.heap.length > 0 && this.removed.delete(this.heap[0])) this.dropTop();
    return this.heap[0];
  }

  pop(): Sequence | undefined {
    const top = this.peek();
    if (top) this.dropTop();
    return top;
  }

  /** @param sequence must be in the queue */
  remove(sequence: Sequence): void {
    this.removed.add(sequence);
  }

  private dropTop(): void {
    const { heap } = this;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && compareSequences(heap[child + 1], heap[child]) < 0) child++;
      if (compareSequences(last, heap[child]) <= 0) break;
      heap[i] = heap[child];
      i = child;
    }
    heap[i] = last;
  }
}
