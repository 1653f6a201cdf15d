import { CliError } from './cli-error.js';

/** @throws {CliError} where Node.js cannot listen with SO_REUSEPORT */
export function checkReusePort(version = process.versions.node): void {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major > 23 || (major === 23 && minor >= 1) || (major === 22 && minor >= 12)) return;
  throw new CliError(`--reuse-port needs Node.js 22.12 or 23.1, and this is ${version}`, {
    hint: 'To restart without refusing connections, send SIGUSR2 to the running server, or let systemd open the socket.',
    exitCode: 2,
  });
}
