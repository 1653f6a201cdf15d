#!/usr/bin/env node
import { existsSync } from 'node:fs';
import process from 'node:process';

const entry = new URL('../dist/cli/main.js', import.meta.url);
if (!existsSync(entry)) {
  process.stderr.write('Quire is not set up in this folder yet: run `npm run setup` first.\n');
  process.exit(1);
}
const { main } = await import(entry.href);
await main(process.argv.slice(2));
