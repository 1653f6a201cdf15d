/**
 * `npm start -- [model] [flags]`: sets up, then `quire serve [model] [flags]` in this same process, so that signals reach
 * the server itself. For the same reason package.json starts this file with `exec`: npm passes signals on to the shell
 * that it runs scripts with, and a shell in between dies of them and leaves the server behind.
 */
import process from 'node:process';
import { setupOrExit } from './setup.mjs';

await setupOrExit();
const { main } = await import('../dist/cli/main.js');
await main(['serve', ...process.argv.slice(2)]);
