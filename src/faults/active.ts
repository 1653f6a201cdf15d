import { type EngineFault, type Fault, FaultSpecError, isIn, type MessageFault, parseFaults } from './spec.js';

/** Tells an engine process which one it is, counted from 1 since its gateway began. */
const ENGINE_NUMBER = 'QUIRE_FAULTS_ENGINE';

/** Faults that a test has asked for in QUIRE_FAULTS. */
export interface ActiveFaults {
  /** As they were written. */
  readonly text: string;
  readonly all: readonly Fault[];
}

let parsed: { faults: ActiveFaults | undefined } | undefined;
let engines = 0;

/**
 * The faults of this process, read once; undefined where none are asked for, as in any server that is not under test.
 * @throws FaultSpecError when QUIRE_FAULTS cannot be read, or is set where it must not be
 */
export function activeFaults(): ActiveFaults | undefined {
  parsed ??= { faults: readFaults(process.env) };
  return parsed.faults;
}

/** @throws FaultSpecError */
export function readFaults(environment: NodeJS.ProcessEnv): ActiveFaults | undefined {
  const text = environment.QUIRE_FAULTS?.trim() ?? '';
  if (text === '') return undefined;
  const hint = 'Unset QUIRE_FAULTS: it is for tests, and breaks the server on purpose.';
  if (environment.NODE_ENV === 'production') {
    throw new FaultSpecError('QUIRE_FAULTS is set, and NODE_ENV is production', hint);
  }
  if (environment.QUIRE_ALLOW_FAULTS !== '1') {
    throw new FaultSpecError('QUIRE_FAULTS is set without QUIRE_ALLOW_FAULTS=1', hint);
  }
  return { text, all: parseFaults(text) };
}

/** What a gateway adds to the environment of the next engine that it starts, and that engine's number. */
export function nextEngine(): { engine: number; environment: Record<string, string> } {
  engines++;
  return { engine: engines, environment: activeFaults() ? { [ENGINE_NUMBER]: String(engines) } : {} };
}

/** In an engine process: its number. */
export function engineNumber(): number {
  return Number(process.env[ENGINE_NUMBER] ?? 1);
}

export function engineFaultsOf({ all }: ActiveFaults, engine: number): EngineFault[] {
  return all.filter(
    (fault): fault is EngineFault => !('message' in fault) && 'engines' in fault && isIn(fault.engines, engine),
  );
}

export function messageFaultsOf({ all }: ActiveFaults, engine: number): MessageFault[] {
  return all.filter((fault): fault is MessageFault => 'message' in fault && isIn(fault.engines, engine));
}
