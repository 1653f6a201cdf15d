import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { merge } from '../../src/api/merge.js';

async function* from<T>(items: readonly T[], onReturn = (): void => {}): AsyncGenerator<T> {
  try {
    for (const item of items) {
      await Promise.resolve();
      yield item;
    }
  } finally {
    onReturn();
  }
}

describe('merged sources', () => {
  test('yield every item of every source once, in the order of its source', () =>
    fc.assert(
      fc.asyncProperty(fc.array(fc.array(fc.integer())), async (lists) => {
        const got: number[][] = lists.map(() => []);
        const sources = lists.map((list, source) => from(list.map((item) => [source, item] as const)));
        for await (const [source, item] of merge(sources)) got[source]?.push(item);
        expect(got).toEqual(lists);
      }),
    ));

  test('do not wait for each other', async () => {
    const stuck = (async function* () {
      await new Promise(() => {});
      yield 'never';
    })();
    const merged = merge([stuck, from(['a', 'b'])]);
    expect((await merged.next()).value).toBe('a');
    expect((await merged.next()).value).toBe('b');
  });

  test('are not read ahead by more than one item', async () => {
    let made = 0;
    const endless = (async function* () {
      for (;;) yield made++;
    })();
    const merged = merge([endless]);
    for (let i = 0; i < 10; i += 1) await merged.next();
    expect(made).toBeLessThanOrEqual(11);
    await merged.return(undefined);
  });

  test('all end when one fails, and when the reader leaves', async () => {
    const failing = (async function* () {
      yield 'x';
      throw new Error('broken');
    })();
    let ended = 0;
    const countEnd = (): void => {
      ended += 1;
    };
    const readAll = async (): Promise<void> => {
      for await (const _ of merge([failing, from(new Array(1000).fill('y'), countEnd)]));
    };
    await expect(readAll()).rejects.toThrow('broken');
    expect(ended).toBe(1);

    for await (const _ of merge([from(['a', 'b'], countEnd), from(['c', 'd'], countEnd)])) break;
    expect(ended).toBe(3);
  });
});
