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

// The engine's parts are measured in an environment such as its process has, which is fixed when a process begins.
if (first === 'engine') {
  const { engineEnvironment } = await import('../dist/serving/engines/engine-environment.js');
  const env = engineEnvironment(process.env);
  if (env !== process.env) {
    const again = spawn(process.execPath, process.argv.slice(1), { stdio: 'inherit', env });
    for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => again.kill(signal));
    const [ended] = await once(again, 'exit');
    process.exit(ended ?? 1);
  }
}

// Benchmarks are TypeScript outside the build; imported only now because setting up is what installs tsx.
const { register } = await import('tsx/esm/api');
register();
process.argv = [process.argv[0], fileURLToPath(file), ...(named ? rest : process.argv.slice(2))];
await import(file.href);
