import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type QuireProcess, startQuire } from '../support/quire-process.js';
import { randomModelPath } from '../support/random-model.js';

let model: string;
const started: QuireProcess[] = [];
const servers: Server[] = [];

beforeAll(async () => {
  model = await randomModelPath({});
});

afterEach(() => {
  for (const quire of started.splice(0)) quire.kill();
  for (const server of servers.splice(0)) server.close();
});

function quire(args: readonly string[], options?: Parameters<typeof startQuire>[1]): QuireProcess {
  const process = startQuire(args, options);
  started.push(process);
  return process;
}

/** Runs a command to its end. */
async function run(args: readonly string[], options?: Parameters<typeof startQuire>[1]) {
  const process = quire(args, options);
  const { code } = await process.ended;
  return { code, stdout: process.stdout(), stderr: process.stderr() };
}

/** A stand-in for somebody else's server. */
async function listen(handler: RequestListener): Promise<string> {
  const server = createServer(handler);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe('quire --help', () => {
  it('names every command and shows examples', async () => {
    const { code, stdout } = await run(['--help']);
    expect(code).toBe(0);
    for (const word of ['serve', 'chat', 'pull', 'doctor', 'bench', 'Examples:']) expect(stdout).toContain(word);
  });

  it('of serve lists the flags with their defaults', async () => {
    const { stdout } = await run(['serve', '--help']);
    for (const flag of [
      '--host',
      '--port',
      '--api-key',
      '--log-level',
      '--max-body-bytes',
      '--served-model-name',
      '--max-model-len',
      '--max-num-seqs',
      '--max-num-batched-tokens',
      '--block-size',
      '--kv-cache-memory',
      '--threads',
      '--device',
      '--policy',
      '--batch-window',
      '--no-enable-prefix-caching',
      '--batch-invariant',
      '--requantize',
    ]) {
      expect(stdout).toContain(flag);
    }
    expect(stdout).toMatch(/--port.*\(default:\s+8000\)/s);
  });
});

describe('a wrong command line', () => {
  it.each([
    [['serve', '--no-such-flag'], /unknown option '--no-such-flag'/],
    [['serve', '--port', 'http'], /--port.*port number/],
    [['serve', '--max-num-seqs', '-1'], /max-num-seqs/],
    [['serve', '--max-num-seqs', 'many'], /max-num-seqs/],
    [['serve', '--block-size', '17'], /block-size/],
    [['serve', '--policy', 'fair'], /policy/],
    [['serve', 'one.gguf', 'two.gguf'], /too many arguments/],
    [['serve', 'one.gguf', '--model', 'two.gguf'], /model/],
    [['sevre'], /unknown command 'sevre'.*serve/],
    [[], /Usage: quire/],
  ])('%j exits with 2 and one message', async (args, message) => {
    const { code, stderr } = await run(args);
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/\n\s+at /);
    expect(code).toBe(2);
  });
});

describe('quire serve', () => {
  it('listens while it loads, then prints a request that works as pasted', async () => {
    const server = quire(['serve', '--model', model, '--port', '0', '--served-model-name', 'tiny', 'also']);
    const url = (await server.seen(/ready at (http:\S+)/))[1]!;
    expect(server.stdout()).toContain('pages of 16 tokens');
    const body = (await server.seen(/-d '(.*)'/))[1]!;
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ...JSON.parse(body), max_tokens: 4 }),
    });
    expect(await response.text()).toContain('data: [DONE]');
    const models = (await (await fetch(`${url}/v1/models`)).json()) as { data: { id: string }[] };
    expect(models.data.map(({ id }) => id)).toEqual(['tiny', 'also']);
  });

  it('wants the key it was given, and tells so in its example', async () => {
    const server = quire(['serve', model, '--port', '0'], { env: { QUIRE_API_KEY: 'sesame' } });
    const url = (await server.seen(/ready at (http:\S+)/))[1]!;
    expect(server.stdout()).toContain('authorization: Bearer');
    expect(server.stdout()).not.toContain('sesame');
    expect((await fetch(`${url}/v1/models`)).status).toBe(401);
    expect((await fetch(`${url}/v1/models`, { headers: { authorization: 'Bearer sesame' } })).status).toBe(200);
  });

  it('says in one line that the port is in use', async () => {
    const port = new URL(await listen((_request, response) => response.end())).port;
    const { code, stderr } = await run(['serve', model, '--port', port]);
    expect(stderr).toMatch(new RegExp(`port ${port} .*in use`));
    expect(stderr).not.toMatch(/\n\s+at /);
    expect(code).toBe(1);
  });

  it('says in one line what is wrong with a model file', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'quire-cli-'));
    try {
      const text = join(folder, 'text.gguf');
      writeFileSync(text, 'This is not a model.');
      const { code, stderr } = await run(['serve', text, '--port', '0']);
      expect(stderr).toMatch(/quire: .*GGUF/);
      expect(stderr).not.toMatch(/\n\s+at /);
      expect(code).toBe(1);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('says in one line what to install where there is no C compiler but pages were asked for', async () => {
    const { code, stderr } = await run(['serve', model, '--port', '0', '--kv-backend', 'pages'], {
      env: { CC: '/no/such/compiler' },
    });
    expect(stderr).toMatch(/quire: .*no working C compiler.*\n\s+Install gcc/);
    expect(stderr).not.toMatch(/\n\s+at /);
    expect(code).toBe(1);
  });

  it('serves without a C compiler all the same, and says loudly what is lost', async () => {
    const server = quire(['serve', model, '--port', '0'], { env: { CC: '/no/such/compiler' } });
    await server.seen(/Quire .* is ready/);
    expect(server.stderr()).toMatch(/KV cells instead of pages: slower, .*no working C compiler.*Install gcc/);
    expect((await server.seen(/backend .*\n/))[0]).toMatch(/llama\.cpp's own KV cells: slower, and answers may differ/);
  });

  it.runIf(process.platform === 'linux')('says in one line that the device is not there', async () => {
    const { code, stderr } = await run(['serve', model, '--port', '0', '--device', 'metal']);
    expect(stderr).toMatch(/quire: .*metal.*\n {2}\S/);
    expect(stderr).not.toMatch(/\n\s+at /);
    expect(code).toBe(1);
  });

  it('says in one line that a model file does not exist', async () => {
    const { code, stderr } = await run(['serve', './no/such/model.gguf', '--port', '0']);
    expect(stderr).toContain('no/such/model.gguf');
    expect(stderr).not.toMatch(/\n\s+at /);
    expect(code).toBe(1);
  });
});

describe('quire chat', () => {
  it('answers a piped prompt from a model in its own process', async () => {
    const { code, stdout, stderr } = await run(['chat', model, '--max-tokens', '8'], { input: 'Hello' });
    expect(stdout.trim()).not.toBe('');
    expect(stderr).toMatch(/\d+ tokens, [\d.]+ tok\/s/);
    expect(code).toBe(0);
  });

  it('streams a piped prompt through any server with the OpenAI API', async () => {
    let asked: unknown;
    const url = await listen((request, response) => {
      if (request.url === '/v1/models') {
        response.end(JSON.stringify({ data: [{ id: 'theirs' }] }));
        return;
      }
      let body = '';
      request.on('data', (text) => (body += text));
      request.on('end', () => {
        asked = JSON.parse(body);
        for (const content of ['Good ', 'day.']) {
          response.write(`data: ${JSON.stringify({ choices: [{ delta: { content } }] })}\n\n`);
        }
        response.end(`data: ${JSON.stringify({ choices: [], usage: { completion_tokens: 7 } })}\n\ndata: [DONE]\n\n`);
      });
    });
    const { code, stdout, stderr } = await run(['chat', '--url', url, '--system', 'Be kind.'], { input: 'Hello\n' });
    expect(stdout).toBe('Good day.\n');
    expect(stderr).toContain('7 tokens');
    expect(asked).toMatchObject({
      model: 'theirs',
      stream: true,
      messages: [
        { role: 'system', content: 'Be kind.' },
        { role: 'user', content: 'Hello' },
      ],
    });
    expect(code).toBe(0);
  });

  it('shows what a server objects to', async () => {
    const url = await listen((_request, response) => {
      response.statusCode = 400;
      response.end(JSON.stringify({ error: { message: 'too long' } }));
    });
    const { code, stderr } = await run(['chat', 'any', '--url', url], { input: 'Hello' });
    expect(stderr).toBe('quire: the server refused (400): too long\n');
    expect(code).toBe(1);
  });

  it('says that nothing answers at an address', async () => {
    const url = await listen(() => {});
    await new Promise((resolve) => servers.pop()!.close(resolve));
    const { code, stderr } = await run(['chat', '--url', url], { input: 'Hello' });
    expect(stderr).toContain(`nothing answers at ${url}/v1`);
    expect(code).toBe(1);
  });
});

describe('quire, when nobody reads its output any more,', () => {
  it('leaves without a word', async () => {
    const process = quire(['serve', '--help']);
    process.child.stdout!.destroy();
    expect((await process.ended).code).toBe(0);
    expect(process.stderr()).toBe('');
  });
});

describe('quire doctor', () => {
  it('reports every part as JSON', async () => {
    const { code, stdout } = await run(['doctor', '--json']);
    const report = JSON.parse(stdout) as { checks: { name: string; status: string; detail: string }[] };
    expect(report.checks.map(({ name }) => name)).toEqual(
      expect.arrayContaining([
        'platform',
        'node',
        'llama.cpp',
        'devices',
        'kernel',
        'memory',
        'cache',
        'default model',
      ]),
    );
    for (const check of report.checks)
      expect(check).toMatchObject({ status: expect.stringMatching(/^(ok|problem|absent)$/) });
    expect(code).toBe(report.checks.some(({ status }) => status === 'problem') ? 1 : 0);
  });

  it('goes on when one part fails, and says what to do about it', async () => {
    const { code, stdout } = await run(['doctor'], { env: { CC: '/no/such/compiler' } });
    expect(stdout).toMatch(/✗ kernel .*\n\s+\S*Install gcc/);
    expect(stdout).toMatch(/✓ llama\.cpp/);
    expect(code).toBe(1);
  });
});
