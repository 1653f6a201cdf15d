import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type QuireProcess, startQuire } from '../support/quire-process.js';
import { randomModelPath } from '../support/random-model.js';

const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/tls/${name}`, import.meta.url));

let model: string;
let folder: string;
let file: string;
const started: QuireProcess[] = [];

beforeAll(async () => {
  model = await randomModelPath({});
});

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'quire-keys-'));
  file = join(folder, 'keys.json');
});

afterEach(() => {
  for (const quire of started.splice(0)) quire.kill();
  rmSync(folder, { recursive: true });
});

function quire(args: readonly string[]): QuireProcess {
  const one = startQuire(args);
  started.push(one);
  return one;
}

async function run(args: readonly string[]) {
  const one = quire(args);
  const { code } = await one.ended;
  return { code, stdout: one.stdout(), stderr: one.stderr() };
}

async function createKey(...flags: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(['keys', 'create', '--file', file, ...flags]);
  expect(code, stderr).toBe(0);
  return stdout.trim();
}

/** The status and the JSON of an answer of the server, whose certificate is checked. */
async function ask(url: string, key: string, body?: object): Promise<{ status: number; json: unknown }> {
  const outgoing = request(url, {
    method: body === undefined ? 'GET' : 'POST',
    ca: readFileSync(fixture('server.pem')),
    headers: { Authorization: `Bearer ${key}`, 'Content-Type': 'application/json' },
    agent: false,
  });
  outgoing.end(body && JSON.stringify(body));
  const answer = await new Promise<{ status: number; body: string }>((resolve, reject) => {
    outgoing.once('error', reject);
    outgoing.once('response', async (response) =>
      resolve({ status: response.statusCode!, body: await text(response) }),
    );
  });
  return { status: answer.status, json: JSON.parse(answer.body) };
}

describe('quire keys create', () => {
  it('prints a key once and keeps its hash, in a file for its owner alone; several at a time lose none', async () => {
    const keys = await Promise.all(
      ['a', 'b', 'c'].map((name) => createKey('--name', name, '--scopes', 'admin,metrics')),
    );
    const content = readFileSync(file, 'utf8');
    expect(statSync(file).mode & 0o777).toBe(0o600);
    for (const key of keys) expect(content).not.toContain(key);
    const names = (JSON.parse(content) as { keys: { name: string }[] }).keys.map(({ name }) => name);
    expect(names.sort()).toEqual(['a', 'b', 'c']);
  });

  it('refuses wrong scopes, names and files, and leaves the file as it was', async () => {
    expect(await run(['keys', 'create', '--scopes', 'root'])).toMatchObject({ code: 2, stdout: '' });
    await createKey('--name', 'a');
    const before = readFileSync(file, 'utf8');
    const twice = await run(['keys', 'create', '--name', 'a', '--file', file]);
    expect([twice.code, twice.stdout]).toEqual([1, '']);
    expect(twice.stderr).toContain('two keys have the name of key a');
    expect(readFileSync(file, 'utf8')).toBe(before);
  });
});

describe('a server with keys and a certificate', () => {
  it('keeps the cache of each key apart, and takes and drops keys while it runs', async () => {
    const alice = await createKey('--name', 'alice');
    const ops = await createKey('--name', 'ops', '--scopes', 'admin');
    const files = [
      '--api-keys-file',
      file,
      '--ssl-certfile',
      fixture('server.pem'),
      '--ssl-keyfile',
      fixture('server-key.pem'),
    ];
    const engine = ['--threads', '1', '--kv-cache-memory', '64MiB'];
    const server = quire(['serve', model, '--port', '0', '--admin-port', '0', ...engine, ...files]);
    const [, url] = await server.seen(/ready at (https:\S+)/);
    const [, adminUrl] = await server.seen(/For operators: (http:\S+)\/admin/);

    const prompt = 'The quick brown fox jumps over the lazy dog. '.repeat(4);
    const cachedFor = async (key: string): Promise<number> => {
      const { status, json } = await ask(`${url}/v1/completions`, key, { prompt, max_tokens: 1 });
      expect(status).toBe(200);
      return (json as { usage: { prompt_tokens_details: { cached_tokens: number } } }).usage.prompt_tokens_details
        .cached_tokens;
    };
    expect(await cachedFor(alice)).toBe(0);
    expect(await cachedFor(alice)).toBeGreaterThan(0);

    // The server may see the change by itself before the signal comes: both have to leave it right.
    const bob = await createKey('--name', 'bob');
    server.child.kill('SIGHUP');
    await expect.poll(async () => (await ask(`${url}/v1/models`, bob)).status, { timeout: 10_000 }).toBe(200);
    expect(await cachedFor(bob)).toBe(0);
    expect(await cachedFor(bob)).toBeGreaterThan(0);

    const admin = async (key: string) => {
      const response = await fetch(`${adminUrl}/admin/keys`, { headers: { Authorization: `Bearer ${key}` } });
      return [response.status, await response.json()];
    };
    expect(await admin(ops)).toMatchObject([200, { keys: [{ name: 'alice' }, { name: 'ops' }, { name: 'bob' }] }]);
    expect((await admin(alice))[0]).toBe(403);
    expect((await ask(`${url}/v1/models`, ops)).status).toBe(403);
    expect((await ask(`${url}/admin/status`, ops)).status).toBe(404);

    const { keys } = JSON.parse(readFileSync(file, 'utf8')) as { keys: { name: string }[] };
    writeFileSync(file, JSON.stringify({ keys: keys.filter(({ name }) => name !== 'alice') }));
    await expect.poll(async () => (await ask(`${url}/v1/models`, alice)).status, { timeout: 10_000 }).toBe(401);
    expect(server.stderr()).not.toContain('brown fox');
    for (const key of [alice, bob, ops]) expect(server.stderr() + server.stdout()).not.toContain(key);
  });

  it('does not start with files that are missing or do not match, and says why', async () => {
    const cases: [string[], RegExp][] = [
      [['--api-keys-file', file], /keys\.json cannot be read[\s\S]*quire keys create --file/],
      [['--ssl-keyfile', fixture('server-key.pem')], /--ssl-keyfile needs --ssl-certfile/],
      [
        ['--ssl-certfile', fixture('server.pem'), '--ssl-keyfile', fixture('renewed-key.pem')],
        /is not that of the certificate/,
      ],
    ];
    for (const [flags, message] of cases) {
      const { code, stderr } = await run(['serve', model, '--port', '0', ...flags]);
      expect(code).toBeGreaterThan(0);
      expect(stderr).toMatch(message);
      expect(stderr).not.toContain('    at ');
    }
  });
});
