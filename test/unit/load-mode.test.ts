import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { loadModeFor } from '../../src/engine/load-mode.js';
import { engineConfig } from '../support/engine-requests.js';

const directory = mkdtempSync(join(tmpdir(), 'quire-load-mode-'));
afterAll(() => rmSync(directory, { recursive: true }));

/** A file of that many bytes, all of them a hole. */
function modelOf(bytes: number, name = 'model.gguf'): string {
  const path = join(directory, name);
  writeFileSync(path, '');
  truncateSync(path, bytes);
  return path;
}

const onLinux = process.platform === 'linux';

describe('weights', () => {
  it.skipIf(!onLinux)('are read where a quarter of the free memory holds them (huge pages: Linux only)', () => {
    const config = engineConfig({ modelPath: modelOf(1000) });
    expect(loadModeFor(config, 4000)).toBe('none');
    expect(loadModeFor(config, 3999)).toBe('mmap');
  });

  it.skipIf(!onLinux)('are mapped where they come in several files, which are large (huge pages: Linux only)', () => {
    const config = engineConfig({ modelPath: modelOf(1000, 'model-00001-of-00003.gguf') });
    expect(loadModeFor(config, 1e9)).toBe('mmap');
  });

  it('are left to llama.cpp where nobody gives them huge pages', () => {
    const modelPath = modelOf(1000);
    expect(loadModeFor(engineConfig({ modelPath, kvBackend: 'cells' }), 1e9)).toBe('auto');
    expect(loadModeFor(engineConfig({ modelPath, device: 'cuda' }), 1e9)).toBe('auto');
  });

  it.each(['none', 'mmap'] as const)('are loaded as asked: %s', (loadMode) => {
    expect(loadModeFor(engineConfig({ modelPath: modelOf(1000), loadMode }), 10)).toBe(loadMode);
  });
});
