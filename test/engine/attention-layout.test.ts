import { expect, test } from 'vitest';
import { learnGgmlLayout } from '../../src/attention/ggml-layout.js';
import { AttentionError, buildKernel } from '../../src/attention/index.js';
import { type KernelLibrary, type LayoutProbe, loadKernelLibrary } from '../../src/attention/kernel-library.js';
import { findLibraries } from '../../src/llama/libraries.js';

const { ggmlBase } = findLibraries('auto');
const kernel = loadKernelLibrary((await buildKernel()).path);

/** The kernel, shown a ggml whose nodes are not what they should be. */
function misled(change: (probe: LayoutProbe) => Partial<LayoutProbe>): KernelLibrary {
  const checkLayout: KernelLibrary['checkLayout'] = Object.assign(
    (...[probe, codes]: Parameters<KernelLibrary['checkLayout']>) =>
      kernel.checkLayout({ ...probe, ...change(probe) }, codes),
    kernel.checkLayout,
  );
  return { ...kernel, checkLayout };
}

test('the mirror of ggml fits the pinned llama.cpp', () => {
  const codes = learnGgmlLayout(ggmlBase, kernel);
  expect(new Set(Object.values(codes)).size).toBe(11);
});

test.each<[string, (probe: LayoutProbe) => Partial<LayoutProbe>]>([
  ['ggml_tensor.ne', (probe) => ({ tensor: probe.query })],
  ['ggml_tensor.name', () => ({ name: 'another name' })],
  ['sources of set_rows', (probe) => ({ rows: probe.indices })],
  ['sources of flash_attn_ext', (probe) => ({ key: probe.value })],
  ['op_params of custom', () => ({ user_data: 1n })],
  ['sources of add', (probe) => ({ sum_with: probe.rows })],
  ['rms_norm', (probe) => ({ rms_norm: probe.add })],
  ['sources of mul', (probe) => ({ weight: probe.rows })],
  ['sources of rope', (probe) => ({ positions: probe.indices })],
])('a ggml with other %s is refused, with what to do', (field, change) => {
  const learn = () => learnGgmlLayout(ggmlBase, misled(change));
  expect(learn).toThrow(AttentionError);
  expect(learn).toThrow(`made for llama.cpp v0.5.0 and does not fit the loaded one: ${field}`);
});

test('a ggml whose codes mean other operations is refused', () => {
  const renamed: KernelLibrary = {
    ...kernel,
    checkLayout: Object.assign((...[probe, codes]: Parameters<KernelLibrary['checkLayout']>) => {
      const wrong = kernel.checkLayout(probe, codes);
      codes.custom = codes.set_rows;
      return wrong;
    }, kernel.checkLayout),
  };
  expect(() => learnGgmlLayout(ggmlBase, renamed)).toThrow(/the code of CUSTOM/);
});
