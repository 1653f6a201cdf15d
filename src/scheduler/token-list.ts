/** A growing Int32Array: prompt and generated tokens of one sequence, in one piece. */
export class TokenList {
  private buffer: Int32Array;
  private count: number;

  constructor(tokens: Int32Array, capacity = tokens.length + 64) {
    this.buffer = new Int32Array(Math.max(capacity, tokens.length));
    this.buffer.set(tokens);
    this.count = tokens.length;
  }

  get length(): number {
    return this.count;
  }

  /** The backing array: entries from `length` on mean nothing, and `push` may replace it. */
  get array(): Int32Array {
    return this.buffer;
  }

  at(index: number): number {
    return this.buffer[index];
  }

  push(token: number): void {
    if (this.count === this.buffer.length) {
      const grown = new Int32Array(this.buffer.length * 2);
      grown.set(this.buffer);
      this.buffer = grown;
    }
    this.buffer[this.count++] = token;
  }

  clone(): TokenList {
    return new TokenList(this.buffer.subarray(0, this.count), this.buffer.length);
  }
}
