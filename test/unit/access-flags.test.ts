import { Command } from 'commander';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { addAccessFlags, apiKeysOf, tlsOf } from '../../src/cli/access-flags.js';

afterEach(() => vi.unstubAllEnvs());

function keysOf(args: string[], environment?: string): string[] | undefined {
  if (environment !== undefined) vi.stubEnv('QUIRE_API_KEY', environment);
  return apiKeysOf(addAccessFlags(new Command()).parse(args, { from: 'user' }));
}

describe('API keys', () => {
  it('are those of the flags, as they are', () => {
    expect(keysOf([])).toBeUndefined();
    expect(keysOf(['--api-key', 'a,b', '--api-key', 'c'])).toEqual(['a,b', 'c']);
    expect(keysOf(['--api-key', 'a'], 'b')).toEqual(['a']);
  });

  it('are those of the environment, with commas or white space between', () => {
    expect(keysOf([], 'a')).toEqual(['a']);
    expect(keysOf([], ' a,b\n c ,')).toEqual(['a', 'b', 'c']);
  });

  it('that are empty do not mean none', () => {
    expect(() => keysOf([], '')).toThrow('QUIRE_API_KEY is empty');
    expect(() => keysOf([], ' , ')).toThrow('QUIRE_API_KEY is empty');
    expect(() => keysOf(['--api-key', ''])).toThrow('--api-key is empty');
    expect(() => keysOf(['--api-key', 'a', '--api-key', ' '])).toThrow('--api-key is empty');
  });
});

describe('a certificate', () => {
  it('is what the other flags need', () => {
    expect(tlsOf({})).toBeUndefined();
    expect(tlsOf({ sslCertfile: 'c', sslKeyfile: 'k' })).toEqual({ certFile: 'c', keyFile: 'k' });
    expect(() => tlsOf({ sslKeyfile: 'k' })).toThrow('--ssl-keyfile needs --ssl-certfile');
    expect(() => tlsOf({ sslCaCerts: 'a' })).toThrow('--ssl-ca-certs needs --ssl-certfile');
  });
});
