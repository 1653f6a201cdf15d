import { CliError } from './cli-error.js';

/** The first file descriptor that systemd passes. */
const FIRST_FD = 3;

/**
 * The sockets that systemd has opened for this process and passes to it (sd_listen_fds(3)): `LISTEN_FDS` of them, if
 * `LISTEN_PID` is this process. Takes the variables out of the environment, as they are not for the processes started here.
 */
export function inheritedSockets(environment: NodeJS.ProcessEnv, pid = process.pid): { fd: number }[] {
  const { LISTEN_PID, LISTEN_FDS } = environment;
  delete environment.LISTEN_PID;
  delete environment.LISTEN_FDS;
  delete environment.LISTEN_FDNAMES;
  if (LISTEN_PID === undefined || Number(LISTEN_PID) !== pid) return [];
  const count = Number(LISTEN_FDS);
  if (!Number.isSafeInteger(count) || count < 1) {
    throw new CliError(`LISTEN_FDS is ${LISTEN_FDS}, but LISTEN_PID names this process`, {
      hint: 'Unset both, or say how many sockets are passed.',
      exitCode: 2,
    });
  }
  return Array.from({ length: count }, (_, i) => ({ fd: FIRST_FD + i }));
}
