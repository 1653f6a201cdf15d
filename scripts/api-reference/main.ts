/** `npm run docs:api`: writes docs/api.md from the OpenAPI document, which is made from the schemas that validate. */
import { readFile, writeFile } from 'node:fs/promises';
import { apiReference } from './reference.js';

const DOCUMENT = new URL('../../docs/api.md', import.meta.url);

const text = await apiReference();
if (process.argv.includes('--check')) {
  if ((await readFile(DOCUMENT, 'utf8')) !== text) {
    console.error('docs/api.md is not what the schemas say: run npm run docs:api');
    process.exitCode = 1;
  }
} else {
  await writeFile(DOCUMENT, text);
  console.error('wrote docs/api.md');
}
