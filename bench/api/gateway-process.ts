import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

export interface GatewayReport {
  url: string;
  /** CPU time since the process began. */
  cpuMs: number;
  /** Memory held now. */
  rssBytes: number;
}

export interface GatewayProcess {
  url: string;
  report(): Promise<GatewayReport>;
  stop(): Promise<void>;
}

const GATEWAY = fileURLToPath(new URL('./gateway.ts', import.meta.url));

/**
 * Starts `gateway.ts` in a process of its own and waits until it answers; it ends when this process does.
 *
 * @param options.engines how many engines the requests are spread over
 * @param options.periodMs milliseconds between two steps of an engine; 0: a step as soon as there is something to do
 */
export async function startGateway(options: { engines: number; periodMs: number }): Promise<GatewayProcess> {
  const child = fork(GATEWAY, [String(options.engines), String(options.periodMs)], {
    // In the environment rather than as arguments: the engine processes need it too.
    env: { ...process.env, NODE_OPTIONS: `${process.env.NODE_OPTIONS ?? ''} --import ${import.meta.resolve('tsx')}` },
    execArgv: [],
  });
  const report = async (): Promise<GatewayReport> => {
    child.send('report');
    const answer = once(child, 'message') as Promise<[GatewayReport]>;
    const ended = once(child, 'exit').then(() => Promise.reject(new Error('the gateway process ended')));
    const [first] = await Promise.race([answer, ended]);
    return first;
  };
  const { url } = await report();
  return {
    url,
    report,
    async stop() {
      const ended = once(child, 'exit');
      child.disconnect();
      await ended;
    },
  };
}
