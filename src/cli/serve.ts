import { setTimeout as sleep } from 'node:timers/promises';
import { Command, Option } from 'commander';
import { createServer, type QuireServer, type RunningServer } from '../api/index.js';
import { activeFaults } from '../faults/index.js';
import { createLogger, type LogLevel } from '../telemetry/index.js';
import { type AccessFlags, addAccessFlags, apiKeysOf, tlsOf } from './access-flags.js';
import { banner } from './banner.js';
import { CliError } from './cli-error.js';
import { parseBytes, parseCount, parsePort, parseSeconds } from './flags.js';
import { inheritedSockets } from './inherited-sockets.js';
import { showLoading } from './loading.js';
import { writePidFile } from './pid-file.js';
import { checkReusePort } from './reuse-port.js';
import { addServingFlags, servingOptionsOf } from './serving-flags.js';
import { onShutdownSignal } from './shutdown.js';
import { findPredecessor, type Predecessor } from './successor.js';
import { onUpgradeSignal } from './upgrade.js';
import { packageVersion } from './version.js';

/** How often, and how many times, a port is asked for that the process before this one is about to close. */
const ADMIN_RETRY_MS = 200;
const ADMIN_TRIES = 50;

interface ServeFlags extends Record<string, unknown>, AccessFlags {
  host: string;
  port: number;
  allowedOrigins?: string[];
  maxBodyBytes: number;
  maxConcurrentRequestsPerKey?: number;
  rateLimitRequests?: number;
  rateLimitTokens?: number;
  logLevel: LogLevel;
  shutdownTimeout: number;
  drainDelay: number;
  reusePort?: boolean;
  pidFile?: string;
  streamResumeWindow: number;
  enableLogRequests?: boolean;
}

const HELP = `
Examples:
  quire serve                                        the small default model
  quire serve ./model.gguf --port 9000
  quire serve hf:Qwen/Qwen2.5-0.5B-Instruct-GGUF:Q8_0 --served-model-name qwen
  quire serve smollm2 --max-num-seqs 16 --kv-cache-memory 1GiB
  quire serve --host 0.0.0.0 --api-key "$(openssl rand -hex 16)"`;

/** `quire serve [model]`: the OpenAI-compatible server. */
export function serveCommand(): Command {
  const command = new Command('serve')
    .summary('serve a model with an OpenAI-compatible API')
    .description(
      'Serves a model with an OpenAI-compatible API, until SIGINT (Ctrl-C) or SIGTERM; SIGUSR2 replaces the process.',
    )
    .optionsGroup('Server:')
    .option('--host <address>', 'address to listen on; 0.0.0.0 for all networks', '127.0.0.1')
    .option('--port <port>', 'port to listen on; 0 for any free one', parsePort, 8000);
  addAccessFlags(command)
    .option('--allowed-origins <origin...>', 'origins whose web pages may call the API; * for all')
    .option('--max-body-bytes <n>', 'largest request body, in bytes', parseBytes, 32 * 2 ** 20)
    .option(
      '--max-concurrent-requests-per-key <n>',
      'most requests of one key at the same time (0: no limit)',
      parseCount,
    )
    .option('--rate-limit-requests <n>', 'most requests of one key in a minute (0: no limit)', parseCount)
    .option(
      '--rate-limit-tokens <n>',
      'most tokens of one key in a minute, of prompts and answers (0: no limit)',
      parseCount,
    )
    .addOption(
      new Option('--log-level <level>', 'what to log on standard error')
        .choices(['debug', 'info', 'warn', 'error', 'silent'] satisfies LogLevel[])
        .default('info'),
    )
    .option('--enable-log-requests', 'log every request with its prompt')
    .option('--shutdown-timeout <s>', 'longest to wait for running answers when shutting down', parseSeconds, 30)
    .option('--drain-delay <s>', 'how long new requests are still taken after readiness went off', parseSeconds, 0)
    .option('--reuse-port', 'let several servers listen on one port (SO_REUSEPORT; Node.js 22.12 or newer)')
    .option('--pid-file <path>', 'file that says which process serves')
    .option('--stream-resume-window <s>', 'for how long a lost stream can be taken up again (0: not)', parseSeconds, 0)
    .optionsGroup('Model and engine:')
    .addHelpText('after', HELP)
    .action(serve);
  return addServingFlags(command);
}

async function serve(model: string | undefined, flags: ServeFlags, command: Command): Promise<void> {
  const apiKeys = apiKeysOf(command);
  const predecessor = findPredecessor();
  const sockets = inheritedSockets(process.env);
  if (flags.reusePort) checkReusePort();
  const logger = createLogger({ level: flags.logLevel });
  const server = createServer({
    ...servingOptionsOf(model, flags),
    apiKeys,
    apiKeysFile: flags.apiKeysFile,
    sharePrefixesBetweenKeys: flags.sharePrefixesBetweenKeys,
    allowedOrigins: flags.allowedOrigins,
    maxBodyBytes: flags.maxBodyBytes,
    maxConcurrentRequestsPerKey: flags.maxConcurrentRequestsPerKey,
    rateLimitRequests: flags.rateLimitRequests,
    rateLimitTokens: flags.rateLimitTokens,
    streamResumeWindow: flags.streamResumeWindow,
    enableLogRequests: flags.enableLogRequests,
    logger,
  });
  // Where others may listen meanwhile, and those who connect can wait, an answer that it is still loading helps nobody.
  const listensLater = predecessor !== undefined || sockets.length > 0 || flags.reusePort === true;
  const early = listensLater ? undefined : await listen(server, flags);
  let removePidFile = flags.pidFile === undefined || listensLater ? () => {} : await pidFile(server, flags.pidFile);

  let stopping = false;
  let leave = (_error: unknown): void => {};
  const stopped = new Promise<void>((resolve, reject) => {
    leave = reject;
    const stop = (seconds: number, options = {}) => {
      stopping = true;
      upgrade.giveUp();
      server.close(seconds * 1000, options).then(resolve, reject);
    };
    const upgrade = onUpgradeSignal(server, logger, () => stop(flags.shutdownTimeout, { handedOver: true }));
    // Without anything to read again SIGHUP means what it means to other programs: the terminal is gone.
    const reloads = flags.apiKeysFile !== undefined || flags.sslCertfile !== undefined;
    if (reloads) process.on('SIGHUP', () => server.reload());
    onShutdownSignal({
      hangup: !reloads,
      gently() {
        process.stderr.write('Shutting down: running answers may end; another signal does not wait for them.\n');
        stop(flags.shutdownTimeout, { delayMs: flags.drainDelay * 1000 });
      },
      now: () => stop(0),
    });
  });
  // Until it is waited for below.
  stopped.catch(() => {});
  predecessor?.onLost(() => {
    stopping = true;
    server.close(0).finally(() => leave(new CliError('the process to take over from has ended')));
  });

  if (early) process.stderr.write(`Listening on ${early.url} (not ready yet: the model is loading)\n`);
  if (early && flags.adminPort !== undefined) await listenAdmin(server, flags.adminPort);
  try {
    await showLoading(server.serving);
    const { url } = early ?? (await listenLater(server, flags, sockets, predecessor));
    if (listensLater && flags.pidFile !== undefined) removePidFile = await pidFile(server, flags.pidFile);
    predecessor?.dismiss();
    if (listensLater && flags.adminPort !== undefined) await listenAdminLater(server, flags.adminPort);
    const [served] = server.serving.models();
    const needsApiKey = apiKeys !== undefined || flags.apiKeysFile !== undefined;
    const { id: modelName, info } = served!;
    const faults = activeFaults()?.text;
    const facts = { version: packageVersion(), url, modelName, info, needsApiKey, faults };
    process.stdout.write(banner(facts));
  } catch (error) {
    if (!stopping) {
      await server.close(0);
      removePidFile();
      throw error;
    }
  }
  await stopped.finally(() => removePidFile());
}

async function pidFile(server: QuireServer, path: string): Promise<() => void> {
  try {
    return writePidFile(path);
  } catch (error) {
    await server.close(0);
    throw error;
  }
}

/** Listens on what others have opened: systemd, the process before this one, or other servers on the same port. */
async function listenLater(
  server: QuireServer,
  flags: ServeFlags,
  sockets: readonly { fd: number }[],
  predecessor: Predecessor | undefined,
): Promise<RunningServer> {
  const tls = tlsOf(flags);
  if (predecessor !== undefined) await predecessor.takeSockets((socket) => server.listen({ socket, tls }));
  else for (const socket of sockets) await server.listen({ socket, tls });
  return server.listening()[0] ?? listen(server, flags);
}

/** Listens for clients. */
async function listen(server: QuireServer, flags: ServeFlags): Promise<RunningServer> {
  const { host, port, reusePort } = flags;
  try {
    const tls = tlsOf(flags);
    return await listenOn(host, port, '--port', () => server.listen({ host, port, reusePort, tls }));
  } catch (error) {
    await server.close(0);
    throw error;
  }
}

/** Listens for operators. */
async function listenAdmin(server: QuireServer, port: number): Promise<void> {
  try {
    const { url } = await listenOn('127.0.0.1', port, '--admin-port', () => server.listenAdmin({ port }));
    process.stderr.write(`For operators: ${url}/admin/status\n`);
  } catch (error) {
    await server.close(0);
    throw error;
  }
}

/** The same once the process that this one takes over from has let go of the port. */
async function listenAdminLater(server: QuireServer, port: number): Promise<void> {
  for (let tries = 0; tries < ADMIN_TRIES; tries++) {
    try {
      const { url } = await server.listenAdmin({ port });
      process.stderr.write(`For operators: ${url}/admin/status\n`);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
      await sleep(ADMIN_RETRY_MS);
    }
  }
  process.stderr.write(`Port ${port} stays in use: this process has no admin port.\n`);
}

/** @throws CliError for what the flags are to blame for */
async function listenOn(
  host: string,
  port: number,
  flag: string,
  listen: () => Promise<RunningServer>,
): Promise<RunningServer> {
  try {
    return await listen();
  } catch (error) {
    switch ((error as NodeJS.ErrnoException).code) {
      case 'EADDRINUSE':
        throw new CliError(`port ${port} on ${host} is in use`, {
          hint: `Stop what listens there, or choose another with ${flag}.`,
          cause: error,
        });
      case 'EACCES':
        throw new CliError(`no permission to listen on port ${port}`, {
          hint: `Choose a ${flag} from 1024 on.`,
          cause: error,
        });
      case 'EADDRNOTAVAIL':
      case 'ENOTFOUND':
        throw new CliError(`${host} is not an address of this machine`, { hint: 'Check --host.', cause: error });
      default:
        throw error;
    }
  }
}
