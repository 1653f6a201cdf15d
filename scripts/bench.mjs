/** `npm run bench -- [flags]`: sets up, then runs bench/main.ts. `api` or `peer` as first argument picks that file. */
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { setupOrExit } from './setup.mjs';

const [first, ...rest] = process.argv.slice(2);
const named = first === 'api' || first === 'peer';
const file = new URL(`../bench/${named ? first : 'main'}.ts`, import.meta.url);

await setupOrExit();
// Benchmarks are TypeScript outside the build; imported only now because setting up is what installs tsx.
const { register } = await import('tsx/esm/api');
register();
process.argv = [process.argv[0], fileURLToPath(file), ...(named ? rest : process.argv.slice(2))];
await import(file.href);
