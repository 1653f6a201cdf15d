import type { EmbeddingRequest, GenerationRequest, Serving } from '../serving/index.js';

/** A serving that makes `change` of every request, of whichever protocol, before it takes it. */
export function mapRequests(
  serving: Serving,
  change: <T extends GenerationRequest | EmbeddingRequest>(request: T) => T,
): Serving {
  return new Proxy(serving, {
    get(target, name) {
      if (name === 'generate')
        return (...[request, signal]: Parameters<Serving['generate']>) => target.generate(change(request), signal);
      if (name === 'embed')
        return (...[request, signal]: Parameters<Serving['embed']>) => target.embed(change(request), signal);
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
