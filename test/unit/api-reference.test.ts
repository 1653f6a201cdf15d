import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { apiReference } from '../../scripts/api-reference/reference.js';

it('docs/api.md is what the schemas say (npm run docs:api writes it)', async () => {
  expect(readFileSync(new URL('../../docs/api.md', import.meta.url), 'utf8')).toBe(await apiReference());
});
