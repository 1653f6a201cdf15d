import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type Device, findLibraries } from '../../src/llama/libraries.js';
import { LlamaError } from '../../src/llama/llama-error.js';

function errorOf(device: Device, platform: NodeJS.Platform, arch: NodeJS.Architecture): LlamaError {
  try {
    findLibraries(device, platform, arch);
  } catch (error) {
    if (error instanceof LlamaError) return error;
    throw error;
  }
  throw new Error('libraries were found');
}

describe('findLibraries', () => {
  it('finds this machine’s libraries on the CPU, for auto as well', () => {
    const files = findLibraries('cpu');
    for (const file of [files.directory, files.ggmlBase, files.ggml, files.llama]) expect(existsSync(file)).toBe(true);
    expect(new Set([files.ggmlBase, files.ggml, files.llama]).size).toBe(3);
    expect(findLibraries('auto')).toEqual(files);
  });

  it('says which platforms there are builds for', () => {
    const error = errorOf('cpu', 'freebsd', 'x64');
    expect(error.message).toContain('freebsd-x64');
    expect(error.hint).toContain('linux-x64');
  });

  it('says which devices a platform has', () => {
    const error = errorOf('cuda', 'darwin', 'arm64');
    expect(error.message).toContain("'cuda'");
    expect(error.hint).toContain('auto, cpu, metal');
  });

  it('says which package to install', () => {
    // npm installs the packages of the machine's own platform only.
    const [platform, arch, name] =
      process.platform === 'win32' ? (['darwin', 'x64', 'mac-x64'] as const) : (['win32', 'x64', 'win-x64'] as const);
    const error = errorOf('cpu', platform, arch);
    expect(error.message).toBe(`@node-llama-cpp/${name} is not installed`);
    expect(error.hint).toContain(`npm install @node-llama-cpp/${name}`);
    expect(errorOf('cpu', 'linux', 'riscv64').hint).toContain('musl');
  });
});
