import { availableParallelism, cpus, release, type as systemName, totalmem } from 'node:os';

/** What a reader has to know of the machine to compare figures with their own. */
export interface Machine {
  cpu: string;
  /** CPUs that this process may use. */
  cores: number;
  memoryGiB: number;
  system: string;
  node: string;
}

export function thisMachine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() || 'unknown CPU',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${systemName()} ${release()}`,
    node: process.version,
  };
}

export function machineLine({ cpu, cores, memoryGiB, system, node }: Machine): string {
  return `${cpu}, ${cores} cores, ${memoryGiB} GiB memory, ${system}, Node ${node}`;
}
