import { ModelNotFoundError } from '../errors.js';
import type { ServedModel } from '../types.js';

/** A model being served: the names clients may call it by, and what answers. */
export interface Deployment<Backend> {
  /** The first is the one that answers are signed with. */
  names: readonly string[];
  served: ServedModel;
  backend: Backend;
}

/** Which model answers to which name. */
export interface Deployments<Backend> {
  add(deployment: Deployment<Backend>): void;
  /**
   * The deployment of that name; the first one added for `default` and for no name at all.
   * @throws ModelNotFoundError
   */
  resolve(name: string | undefined): Deployment<Backend>;
  /** One entry per name, in the order in which they were given. */
  list(): ServedModel[];
}

/** The name that always means the default model, whatever it is called. */
const DEFAULT_NAME = 'default';

export function createDeployments<Backend>(): Deployments<Backend> {
  const byName = new Map<string, Deployment<Backend>>();

  return {
    add(deployment) {
      for (const name of deployment.names) byName.set(name, deployment);
    },

    resolve(name = DEFAULT_NAME) {
      const [first] = byName.values();
      const deployment = byName.get(name) ?? (name === DEFAULT_NAME ? first : undefined);
      if (deployment === undefined) throw new ModelNotFoundError(name);
      return deployment;
    },

    list: () => [...byName].map(([id, { served }]) => ({ ...served, id })),
  };
}
