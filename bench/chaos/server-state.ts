import { readdirSync, readFileSync } from 'node:fs';

/** What a server holds although nobody asks it anything. */
export interface Leaks {
  /** Of the KV cache, in use. */
  blocks: number;
  /** Running or waiting. */
  requests: number;
}

export async function leaksOf(url: string): Promise<Leaks> {
  const waiting = await metric(url, 'quire_num_requests_waiting');
  return {
    blocks: await metric(url, 'quire_kv_blocks{state="used"}'),
    requests: waiting + (await metric(url, 'quire_num_requests_running')),
  };
}

/** @throws Error for one that the server does not have */
export async function metric(url: string, name: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const line = text.split('\n').find((one) => one.startsWith(`${name} `));
  if (line === undefined) throw new Error(`there is no metric ${name}`);
  return Number(line.slice(name.length + 1));
}

/** NaN where it cannot be known: there is no /proc, or no such process. */
export function residentMiB(pid: number): number {
  try {
    return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1024;
  } catch {
    return Number.NaN;
  }
}

/** Files, sockets and pipes that a process has open; NaN as of {@link residentMiB}. */
export function openFiles(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/fd`).length;
  } catch {
    return Number.NaN;
  }
}

/** Least squares over the last half of evenly spaced samples: what they grow by from one to the next. */
export function slope(samples: readonly number[]): number {
  const last = samples.slice(Math.floor(samples.length / 2)).filter((value) => !Number.isNaN(value));
  const middle = (last.length - 1) / 2;
  const mean = last.reduce((sum, value) => sum + value, 0) / last.length;
  const spread = last.reduce((sum, _, i) => sum + (i - middle) ** 2, 0);
  if (spread === 0) return 0;
  return last.reduce((sum, value, i) => sum + (i - middle) * (value - mean), 0) / spread;
}
