import { describe, expect, it } from 'vitest';
import { findInCatalog, readCatalog } from '../../src/serving/models/catalog.js';
import { DEFAULT_MODEL } from '../../src/serving/models/index.js';

describe('the catalog', () => {
  it('has the default model', () => {
    expect(findInCatalog('default')).toBe(findInCatalog(DEFAULT_MODEL));
    expect(findInCatalog(DEFAULT_MODEL)?.name).toBe('SmolLM2-135M-Instruct');
  });

  it('has every name once, in small letters', () => {
    const names = [...readCatalog()].flatMap(([name, { aliases }]) => [name, ...aliases]);
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(name).toBe(name.toLowerCase());
  });

  it('does not have what it does not have', () => {
    expect(findInCatalog('gpt-5')).toBeUndefined();
  });
});
