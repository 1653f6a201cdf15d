import { describe, expect, it } from 'vitest';
import { createDeployments } from '../../src/serving/deployments/index.js';
import { ModelNotFoundError } from '../../src/serving/errors.js';
import { createFakeEngine } from '../support/fake-engine.js';

function deployment(...names: string[]) {
  const { info } = createFakeEngine();
  return { names, served: { id: names[0]!, created: 1, maxModelLen: info.maxModelLen, info }, backend: names[0] };
}

describe('deployments', () => {
  const deployments = createDeployments<string | undefined>();
  deployments.add(deployment('chat', 'gpt-4o'));
  deployments.add(deployment('embedding'));

  it('answer to each of their names, signing with the first', () => {
    expect(deployments.resolve('gpt-4o').served.id).toBe('chat');
    expect(deployments.resolve('embedding').backend).toBe('embedding');
  });

  it('answer to no name, and to `default`, with the first', () => {
    expect(deployments.resolve(undefined).backend).toBe('chat');
    expect(deployments.resolve('default').backend).toBe('chat');
  });

  it('do not answer to names that nobody gave', () => {
    expect(() => deployments.resolve('gpt-5')).toThrow(ModelNotFoundError);
    expect(() => deployments.resolve('')).toThrow(ModelNotFoundError);
    expect(() => createDeployments().resolve(undefined)).toThrow(ModelNotFoundError);
  });

  it('are listed by every name', () => {
    expect(deployments.list().map(({ id }) => id)).toEqual(['chat', 'gpt-4o', 'embedding']);
  });

  it('let a deployment be called `default`', () => {
    const named = createDeployments<string | undefined>();
    named.add(deployment('other'));
    named.add(deployment('default'));
    expect(named.resolve('default').backend).toBe('default');
  });
});
