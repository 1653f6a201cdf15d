import { expect, test } from 'vitest';
import type { LayerView } from '../../src/engine/model-survey.js';
import { commonShape, UnsupportedModelError } from '../../src/engine/page-support.js';

const layer: LayerView = {
  nodes: 1,
  kvHeads: 2,
  keySize: 64,
  valueSize: 64,
  firstRowSees: 0,
  secondRowSees: 0,
  view: 'causal',
};
const windowed: LayerView = { ...layer, view: 'sliding-window' };

test('pages have the shape that all layers share', () => {
  expect(commonShape([layer, layer, layer], 0, 'q8_0')).toEqual({ layers: 3, kvHeads: 2, headSize: 64, type: 'q8_0' });
});

test('pages know which layers look through the sliding window', () => {
  const { slidingWindow } = commonShape([windowed, layer, windowed], 512, 'f16');
  expect(slidingWindow).toEqual({ size: 512, layers: [true, false, true] });
});

test.each<[string, LayerView[], RegExp]>([
  ['keeps nothing', [layer, { ...layer, nodes: 0 }], /^layer 1 has no keys and values of its own/],
  ['lends its keys to others', [{ ...layer, nodes: 2 }, layer], /^layer 0 shares its keys and values/],
  ['attends to something else', [{ ...layer, view: 'other' }], /^layer 0 attends neither/],
  [
    'has values of another size',
    [{ ...layer, keySize: 192, valueSize: 128 }],
    /^layer 0 has keys of 192 and values of 128/,
  ],
  ['has other heads', [layer, { ...layer, kvHeads: 8 }], /^layer 1 has 8 KV heads of 64 dimensions, layer 0 2 of 64/],
  ['has larger heads', [layer, { ...layer, keySize: 128, valueSize: 128 }], /^layer 1 has 2 KV heads of 128/],
])('a model in which a layer %s is refused', (_, layers, message) => {
  const choose = () => commonShape(layers, 0, 'f16');
  expect(choose).toThrow(UnsupportedModelError);
  expect(choose).toThrow(message);
});

test('a head size that the page type cannot hold is refused', () => {
  const small = { ...layer, keySize: 48, valueSize: 48 };
  expect(commonShape([small], 0, 'f16').headSize).toBe(48);
  expect(() => commonShape([small], 0, 'q8_0')).toThrow(/48 dimensions do not fit pages of type q8_0/);
});
