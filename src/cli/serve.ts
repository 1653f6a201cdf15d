import { Command, Option } from 'commander';
import { createServer, type QuireServer, type RunningServer } from '../api/index.js';
import { activeFaults } from '../faults/index.js';
import { createLogger, type LogLevel } from '../telemetry/index.js';
import { banner } from './banner.js';
import { CliError } from './cli-error.js';
import { parseBytes, parsePort } from './flags.js';
import { showLoading } from './loading.js';
import { addServingFlags, servingOptionsOf } from './serving-flags.js';
import { onShutdownSignal } from './shutdown.js';
import { packageVersion } from './version.js';

/** How long running answers may take to end after the first SIGINT or SIGTERM, in milliseconds. */
const GRACE_MS = 10_000;

interface ServeFlags extends Record<string, unknown> {
  host: string;
  port: number;
  apiKey?: string[];
  allowedOrigins?: string[];
  maxBodyBytes: number;
  logLevel: LogLevel;
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
    .description('Serves a model with an OpenAI-compatible API, until SIGINT (Ctrl-C) or SIGTERM.')
    .optionsGroup('Server:')
    .option('--host <address>', 'address to listen on; 0.0.0.0 for all networks', '127.0.0.1')
    .option('--port <port>', 'port to listen on; 0 for any free one', parsePort, 8000)
    .addOption(
      new Option('--api-key <key>', 'key that clients must send; may be repeated')
        .argParser((key: string, keys: string[] = []) => [...keys, key])
        .env('QUIRE_API_KEY'),
    )
    .option('--allowed-origins <origin...>', 'origins whose web pages may call the API; * for all')
    .option('--max-body-bytes <n>', 'largest request body, in bytes', parseBytes, 32 * 2 ** 20)
    .addOption(
      new Option('--log-level <level>', 'what to log on standard error')
        .choices(['debug', 'info', 'warn', 'error', 'silent'] satisfies LogLevel[])
        .default('info'),
    )
    .optionsGroup('Model and engine:')
    .addHelpText('after', HELP)
    .action(serve);
  return addServingFlags(command);
}

async function serve(model: string | undefined, flags: ServeFlags): Promise<void> {
  const server = createServer({
    ...servingOptionsOf(model, flags),
    apiKeys: flags.apiKey,
    allowedOrigins: flags.allowedOrigins,
    maxBodyBytes: flags.maxBodyBytes,
    logger: createLogger({ level: flags.logLevel }),
  });
  const { url } = await listen(server, flags);

  let stopping = false;
  const stopped = new Promise<void>((resolve, reject) => {
    const stop = (graceMs: number) => server.close(graceMs).then(resolve, reject);
    onShutdownSignal({
      gently() {
        stopping = true;
        process.stderr.write('Shutting down: running answers may end; another signal does not wait for them.\n');
        stop(GRACE_MS);
      },
      now: () => stop(0),
    });
  });

  process.stderr.write(`Listening on ${url} (not ready yet: the model is loading)\n`);
  try {
    await showLoading(server.serving);
    const [served] = server.serving.models();
    const needsApiKey = flags.apiKey !== undefined;
    const { id: modelName, info } = served!;
    const faults = activeFaults()?.text;
    const facts = { version: packageVersion(), url, modelName, info, needsApiKey, faults };
    process.stdout.write(banner(facts));
  } catch (error) {
    if (!stopping) {
      await server.close(0);
      throw error;
    }
  }
  await stopped;
}

async function listen(server: QuireServer, { host, port }: ServeFlags): Promise<RunningServer> {
  try {
    return await server.listen({ host, port });
  } catch (error) {
    await server.close(0);
    switch ((error as NodeJS.ErrnoException).code) {
      case 'EADDRINUSE':
        throw new CliError(`port ${port} on ${host} is in use`, {
          hint: 'Stop what listens there, or choose another with --port.',
          cause: error,
        });
      case 'EACCES':
        throw new CliError(`no permission to listen on port ${port}`, {
          hint: 'Choose a --port from 1024 on.',
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
