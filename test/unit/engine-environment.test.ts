import { describe, expect, it } from 'vitest';
import { engineEnvironment } from '../../src/serving/engines/engine-environment.js';

describe("the engine process's environment", () => {
  it('asks for huge pages, beside what else is set', () => {
    expect(engineEnvironment({ HOME: '/root' })).toEqual({
      HOME: '/root',
      GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1',
    });
    expect(engineEnvironment({ GLIBC_TUNABLES: 'glibc.malloc.check=3' }).GLIBC_TUNABLES).toBe(
      'glibc.malloc.check=3:glibc.malloc.hugetlb=1',
    );
  });

  it('leaves huge pages as the user wants them', () => {
    const GLIBC_TUNABLES = 'glibc.malloc.hugetlb=0:glibc.malloc.check=3';
    expect(engineEnvironment({ GLIBC_TUNABLES })).toEqual({ GLIBC_TUNABLES });
  });
});
