import autocannon from 'autocannon';
import { startGateway } from './gateway-process.js';

/** What one gateway process did with short completions that are not streamed. Latencies are milliseconds. */
export interface RequestResult {
  connections: number;
  requestsPerSecond: number;
  latencyP50Ms: number;
  latencyP99Ms: number;
  gatewayCpu: number;
}

const BODY = { model: 'fake', prompt: [1, 2, 3, 4], max_tokens: 1 };

/** Asks for one-token completions over `connections` kept-alive connections for `seconds`. */
export async function loadRequests(options: { connections: number; seconds: number }): Promise<RequestResult> {
  const { connections, seconds } = options;
  const gateway = await startGateway({ engines: 1, periodMs: 0 });
  try {
    const before = await gateway.report();
    const result = await autocannon({
      url: `${gateway.url}/v1/completions`,
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(BODY),
      connections,
      duration: seconds,
    });
    const after = await gateway.report();
    const failed = result.errors + result.timeouts + result.non2xx;
    if (failed > 0) throw new Error(`${failed} of ${result.requests.total} completions failed`);
    return {
      connections,
      requestsPerSecond: result.requests.average,
      latencyP50Ms: result.latency.p50,
      latencyP99Ms: result.latency.p99,
      gatewayCpu: (after.cpuMs - before.cpuMs) / (result.duration * 1_000),
    };
  } finally {
    await gateway.stop();
  }
}
