/** `npm run bench -- [flags]`: sets up, then runs bench/main.ts, or the file that the first argument names. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

const NAMED = ['api', 'chaos', 'engine', 'hostile', 'kernel', 'misfortunes', 'peer', 'quality', 'templates'];

const [first, ...rest] = process.argv.slice(2);
const named = NAMED.includes(first);
const file = new URL(`../bench/${named ? first : 'main'}.ts`, import.meta.url);

// A process of its own: it loads what was compiled, benchmarks load the sources, and native types exist once a process.
const setup = spawn(process.execPath, [fileURLToPath(new URL('./setup.mjs', import.meta.url))], { stdio: 'inherit' });
const [code] = await once(setup, 'exit');
if (code !== 0) process.exit(code ?? 1);

// Benchmarks are TypeScript outside the build; imported only now because setting up is what installs tsx.
const { register } = await import('tsx/esm/api');
register();
process.argv = [process.argv[0], fileURLToPath(file), ...(named ? rest : process.argv.slice(2))];
await import(file.href);
