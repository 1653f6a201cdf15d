import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createServer, type QuireServer } from '../../src/api/create-server.js';
import { createLogger } from '../../src/telemetry/index.js';
import { CLIENTS, hasPip, installClients, installPythonClient, recentNode } from '../support/client-packages.js';
import { defaultModelPath } from '../support/default-model.js';

const run = promisify(execFile);

await installClients();
const node = recentNode();
const python = await hasPip();

let server: QuireServer;
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  server = createServer({
    model: await defaultModelPath(),
    maxModelLen: 2048,
    logger: createLogger({ level: 'warn' }),
  });
  const [{ url }] = await Promise.all([server.listen({ port: 0 }), server.serving.whenReady()]);
  env = { ...process.env, QUIRE_URL: url };
});

afterAll(() => server?.close(0));

/** Runs the tests of one client in a process of its own; they fail together. */
async function runTests(program: string, args: string[], more: NodeJS.ProcessEnv = {}): Promise<void> {
  const failure = await run(program, args, { env: { ...env, ...more } }).then(
    () => '',
    (error) => `${error.stdout}\n${error.stderr}`,
  );
  expect(failure).toBe('');
}

describe.skipIf(node === undefined)(`today's clients${node === undefined ? ' (need Node.js 22 or newer)' : ''}`, () => {
  test.each(['openai', 'anthropic', 'ai-sdk', 'langchain'])('%s', (client) =>
    runTests(node!, ['--test', '--test-reporter=spec', join(CLIENTS, `${client}.mjs`)]),
  );
});

test.skipIf(!python)(`the Python client${python ? '' : ' (needs python3 with pip)'}`, async () => {
  await runTests('python3', [join(CLIENTS, 'openai_python.py')], { PYTHONPATH: await installPythonClient() });
});
