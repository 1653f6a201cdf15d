import { setTimeout } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { Item } from '../../src/api/openai/responses/item-schemas.js';
import type { WireResponse } from '../../src/api/openai/responses/response-schema.js';
import { createResponseStore } from '../../src/api/openai/responses/store.js';

const LIMITS = { maxResponses: 100, maxBytes: 1_000_000, ttlMs: 60_000 };

function said(id: string, text = 'Hi'): Item {
  return { type: 'message', id, status: 'completed', role: 'user', content: [{ type: 'input_text', text }] };
}

/** What the store looks at. */
function response(id: string, output: Item[] = []): WireResponse {
  return { id, output } as unknown as WireResponse;
}

describe('the store of responses', () => {
  it('keeps a response with all that was said before', () => {
    const shelf = createResponseStore(LIMITS)('a');
    shelf.add(response('r1', [said('o1')]), [said('i1')]);
    shelf.add(response('r2', [said('o2')]), [said('i2'), said('i3')], shelf.get('r1'));
    expect(shelf.get('r2')?.input.map(({ id }) => id)).toEqual(['i1', 'o1', 'i2', 'i3']);
    expect(shelf.delete('r1')).toBe(true);
    expect(shelf.delete('r1')).toBe(false);
    expect(shelf.get('r2')?.input).toHaveLength(4);
  });

  it('forgets the least recently used of too many', () => {
    const shelf = createResponseStore({ ...LIMITS, maxResponses: 2 })('a');
    shelf.add(response('r1'), [said('i1')]);
    shelf.add(response('r2'), [said('i2')]);
    expect(shelf.get('r1')).toBeDefined();
    shelf.add(response('r3'), [said('i3')]);
    expect(['r1', 'r2', 'r3'].map((id) => shelf.get(id) !== undefined)).toEqual([true, false, true]);
    expect(['i1', 'i2', 'i3'].map((id) => shelf.item(id)?.id)).toEqual(['i1', undefined, 'i3']);
  });

  it('never holds more bytes than allowed, counting whole conversations', () => {
    const shelf = createResponseStore({ ...LIMITS, maxBytes: 10_000 })('a');
    shelf.add(response('large'), [said('i0', 'x'.repeat(10_000))]);
    expect(shelf.get('large')).toBeUndefined();
    expect(shelf.item('i0')).toBeUndefined();
    const ids = Array.from({ length: 20 }, (_, index) => `r${index}`);
    const sizes: number[] = [];
    let previous: ReturnType<typeof shelf.get>;
    for (const id of ids) {
      shelf.add(response(id), [said(`i${id}`, 'x'.repeat(1000))], previous);
      previous = shelf.get(id);
      sizes.push(previous?.bytes ?? 0);
      const kept = ids.flatMap((other) => shelf.get(other)?.bytes ?? []);
      expect(kept.reduce((sum, bytes) => sum + bytes, 0)).toBeLessThanOrEqual(10_000);
    }
    // A conversation grows until it is too large by itself.
    expect(sizes.slice(0, 9).map((bytes) => Math.floor(bytes / 1100))).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 0]);
  });

  it('forgets a response after its time', async () => {
    const shelf = createResponseStore({ ...LIMITS, ttlMs: 20 })('a');
    shelf.add(response('r1'), [said('i1')]);
    expect(shelf.item('i1')).toBeDefined();
    await setTimeout(60);
    expect(shelf.item('i1')).toBeUndefined();
    expect(shelf.get('r1')).toBeUndefined();
  });

  it('lends an item as long as any response has it', () => {
    const shelf = createResponseStore(LIMITS)('a');
    shelf.add(response('r1'), [said('i')]);
    shelf.add(response('r2'), [said('i')]);
    shelf.delete('r1');
    expect(shelf.item('i')).toBeDefined();
    shelf.delete('r2');
    expect(shelf.item('i')).toBeUndefined();
  });

  it('keeps clients apart', () => {
    const store = createResponseStore(LIMITS);
    store('a').add(response('r1'), [said('i1')]);
    expect([store('b').get('r1'), store('b').item('i1'), store('b').delete('r1')]).toEqual([
      undefined,
      undefined,
      false,
    ]);
    expect(store('a').get('r1')).toBeDefined();
  });
});
