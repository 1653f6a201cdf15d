import { InvalidArgumentError } from 'commander';
import type { Policy } from './server/targets.js';
import { quick, selectWorkloads, type Workload } from './server/workloads.js';

/** Readers of command-line values, shared by the benchmarks. All throw InvalidArgumentError. */

export function positiveInteger(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new InvalidArgumentError('It must be a whole number from 1 on.');
  return value;
}

export function positiveNumber(text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0) throw new InvalidArgumentError('It must be a number above 0.');
  return value;
}

export function workloadList(text: string): Workload[] {
  try {
    return selectWorkloads(text.split(','));
  } catch (error) {
    throw new InvalidArgumentError(`${(error as Error).message}.`);
  }
}

const POLICIES: readonly Policy[] = ['continuous', 'dynamic', 'static'];

export function policyList(text: string): Policy[] {
  return text.split(',').map((name) => {
    const policy = POLICIES.find((known) => known === name);
    if (!policy) throw new InvalidArgumentError(`It must be one or several of ${POLICIES.join(', ')}.`);
    return policy;
  });
}

/** The workloads as `--quick`, `--requests` and `--concurrency` change them. */
export function sized(
  workloads: readonly Workload[],
  options: { quick?: boolean; requests?: number; concurrency?: number },
): Workload[] {
  return workloads.map((workload) => {
    const base = options.quick ? quick(workload) : workload;
    return {
      ...base,
      requests: options.requests ?? base.requests,
      concurrency: options.concurrency ?? base.concurrency,
    };
  });
}

/** Where this machine keeps things, and its keys: they change no figure, and are nobody's business. */
const PRIVATE_FLAGS = ['--llama-server', '--json', '--html', '--api-key'];

/** How a reader runs the same benchmark: the script with the arguments that change its figures. */
export function commandLine(script: string, args: readonly string[]): string {
  const isPrivate = (arg: string, i: number) =>
    PRIVATE_FLAGS.some((flag) => arg === flag || arg.startsWith(`${flag}=`) || args[i - 1] === flag);
  const shown = args.filter((arg, i) => !isPrivate(arg, i));
  return [script, ...(shown.length > 0 ? ['--'] : []), ...shown].join(' ');
}
