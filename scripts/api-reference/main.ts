/** `npm run docs:api`: writes docs/api.md from the OpenAPI document, which is made from the schemas that validate. */
import { writeFile } from 'node:fs/promises';
import { apiReference } from './reference.js';

await writeFile(new URL('../../docs/api.md', import.meta.url), await apiReference());
console.error('wrote docs/api.md');
