import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

export type GatewayRequest = 'usage' | 'emissions';

export interface GatewayReport {
  url: string;
  /** CPU time since the process began, and memory held now. */
  usage: { cpuMs: number; rssBytes: number };
  /** When each step emitted its tokens, by step number; empty unless asked for. */
  emittedMs: number[];
}

export interface GatewayProcess {
  url: string;
  usage(): Promise<GatewayReport['usage']>;
  emissions(): Promise<number[]>;
  stop(): Promise<void>;
}

const GATEWAY = fileURLToPath(new URL('./gateway.ts', import.meta.url));

/**
 * Starts `gateway.ts` in a process of its own and waits until it answers; it ends when this process does.
 *
 * @param options.engines how many fake engines the requests are spread over
 * @param options.periodMs milliseconds between two steps of an engine; 0: as fast as the process can
 */
export async function startGateway(options: { engines: number; periodMs: number }): Promise<GatewayProcess> {
  const child = fork(GATEWAY, [String(options.engines), String(options.periodMs)], {
    execArgv: ['--import', import.meta.resolve('tsx')],
  });
  const ask = async (request: GatewayRequest): Promise<GatewayReport> => {
    child.send(request);
    const answer = once(child, 'message') as Promise<[GatewayReport]>;
    const ended = once(child, 'exit').then(() => Promise.reject(new Error('the gateway process ended')));
    const [report] = await Promise.race([answer, ended]);
    return report;
  };
  const { url } = await ask('usage');
  return {
    url,
    usage: async () => (await ask('usage')).usage,
    emissions: async () => (await ask('emissions')).emittedMs,
    async stop() {
      const ended = once(child, 'exit');
      child.disconnect();
      await ended;
    },
  };
}
