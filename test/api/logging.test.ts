import { spawnSync } from 'node:child_process';
import { type Level, pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { type AppOptions, createApp } from '../../src/api/index.js';
import { chat, post } from '../support/api.js';
import { fakeServing } from '../support/fake-serving.js';

/** An app and the lines it logs. */
function loggedApp(level: Level, options: AppOptions = {}) {
  const lines: Record<string, unknown>[] = [];
  const logger = pino({ level }, { write: (line: string) => void lines.push(JSON.parse(line)) });
  const serving = fakeServing();
  return { app: createApp(serving, { ...options, logger }), serving, lines };
}

describe('the access log', () => {
  test('has a line for every request at level debug, also for refused ones', async () => {
    const { app, lines } = loggedApp('debug');
    await app.request('/v1/chat/completions', post(chat(), { 'X-Request-Id': 'mine' }));
    await app.request('/nothing?secret=1');
    expect(lines).toMatchObject([
      { msg: 'request', requestId: 'mine', method: 'POST', path: '/v1/chat/completions', status: 200 },
      { msg: 'request', method: 'GET', path: '/nothing', status: 404 },
    ]);
  });

  test('is silent at level info', async () => {
    const { app, lines } = loggedApp('info');
    await app.request('/v1/chat/completions', post(chat()));
    await app.request('/v1/chat/completions', post({}));
    expect(lines).toEqual([]);
  });
});

test('requests are logged with their prompts where that is asked for, in every protocol', async () => {
  const { app, lines } = loggedApp('info', { enableLogRequests: true });
  await app.request('/v1/chat/completions', post(chat({ seed: 7 })));
  await app.request('/generate', post({ inputs: 'through another one' }));
  await app.request('/v1/embeddings', post({ input: ['one', 'two'] }));
  expect(lines).toMatchObject([
    { msg: 'received a request', requestId: expect.any(String), prompt: { kind: 'chat' }, sampling: { seed: 7 } },
    { prompt: { text: 'through another one' } },
    { prompts: [{ text: 'one' }, { text: 'two' }] },
  ]);
});

describe('the error log', () => {
  test('has the whole error that the client was not shown', async () => {
    const { app, serving, lines } = loggedApp('info');
    serving.generate = () => Promise.reject(new TypeError('cannot read it'));
    await app.request('/v1/chat/completions', post(chat()));
    expect(lines).toMatchObject([
      { msg: 'a request failed', path: '/v1/chat/completions', err: { type: 'TypeError', message: 'cannot read it' } },
    ]);
  });

  test('does not count a client that left', async () => {
    const { app, serving, lines } = loggedApp('info');
    const leaving = new AbortController();
    serving.generate = async () => {
      leaving.abort();
      throw new Error('aborted');
    };
    await app.request('/v1/chat/completions', { ...post(chat()), signal: leaving.signal });
    expect(lines).toEqual([]);
  });
});

describe('a logger', () => {
  function log(options: string) {
    const url = new URL('../../src/telemetry/index.ts', import.meta.url).href;
    const code = `import { createLogger } from ${JSON.stringify(url)};
      const logger = createLogger(${options}); logger.debug('low'); logger.warn({ n: 5 }, 'high'); process.kill(process.pid);`;
    return spawnSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code], { encoding: 'utf8' });
  }

  test('writes lines of JSON from its level on to stderr, before the process can die', () => {
    const { stdout, stderr } = log("{ level: 'info' }");
    expect(stdout).toBe('');
    expect(JSON.parse(stderr)).toMatchObject({ level: 40, n: 5, msg: 'high' });
  });

  test('writes for people when asked to', () => {
    const { stderr } = log("{ level: 'debug', pretty: true }");
    expect(stderr).toMatch(/DEBUG.*low[\s\S]*WARN.*high/);
    expect(stderr).toContain('n: 5');
  });
});
