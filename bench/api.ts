/** `npm run bench:api`: what the API layer costs, measured over engines whose tokens cost nothing. */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Command } from 'commander';
import { loadRequests } from './api/request-load.js';
import { loadStreams, type StreamResult } from './api/stream-load.js';
import { positiveInteger, positiveNumber } from './options.js';
import { formatNumber } from './report/format.js';
import { machineLine, thisMachine } from './report/machine.js';
import { textTable } from './report/rows.js';
import { runProgram } from './run-program.js';

interface Flags {
  streams: number;
  engines?: number;
  tokensPerSecond: number;
  connections: number;
  seconds: number;
  json?: string;
}

/** As many sequences as an engine runs at once by default. */
const STREAMS_PER_ENGINE = 64;

const program = new Command('npm run bench:api --')
  .description('Measures one gateway process over fake engines: open streams, tokens per second, added latency.')
  .option('--streams <n>', 'streams open at once', positiveInteger, 1_000)
  .option(
    '--engines <n>',
    `engines that the streams are spread over (default: one for every ${STREAMS_PER_ENGINE})`,
    positiveInteger,
  )
  .option('--tokens-per-second <n>', 'tokens that the engines emit over all streams', positiveNumber, 20_000)
  .option('--connections <n>', 'connections for short completions', positiveInteger, 64)
  .option('--seconds <n>', 'length of each measurement', positiveNumber, 10)
  .option('--json <file>', 'write the figures to this file');

async function main({ streams, tokensPerSecond, connections, seconds, json, ...flags }: Flags): Promise<void> {
  const engines = flags.engines ?? Math.ceil(streams / STREAMS_PER_ENGINE);
  console.error(`${streams} streams, ${formatNumber(tokensPerSecond)} tok/s …`);
  const paced = await loadStreams({ streams, engines, tokensPerSecond, seconds });
  console.error(`${streams} streams, as many tokens as the gateway takes …`);
  const unpaced = await loadStreams({ streams, engines, tokensPerSecond: null, seconds });
  console.error(`${connections} connections, one-token completions …`);
  const completions = await loadRequests({ connections, seconds });

  const machine = thisMachine();
  console.log(`\n${machineLine(machine)}\n`);
  console.log(streamTable([paced, unpaced]));
  const { requestsPerSecond, latencyP50Ms, latencyP99Ms } = completions;
  const latency = `p50 ${formatNumber(latencyP50Ms)} ms, p99 ${formatNumber(latencyP99Ms)} ms`;
  console.log(`\n${connections} connections: ${formatNumber(requestsPerSecond)} one-token completions/s, ${latency}`);
  if (json) {
    await mkdir(dirname(json), { recursive: true });
    await writeFile(
      json,
      `${JSON.stringify({ date: new Date().toISOString(), machine, paced, unpaced, completions })}\n`,
    );
  }
}

function streamTable(results: readonly StreamResult[]): string {
  const optional = (value: number | null) => (value === null ? '–' : formatNumber(value));
  return textTable({
    header: [
      'streams',
      'engines',
      'emitted tok/s',
      'received tok/s',
      'chunks/s',
      'added p50 ms',
      'added p99 ms',
      'CPU',
      'MiB',
    ],
    rows: results.map((result) => [
      String(result.streams),
      String(result.engines),
      result.offeredTokensPerSecond === null ? 'unlimited' : formatNumber(result.offeredTokensPerSecond),
      formatNumber(result.receivedTokensPerSecond),
      formatNumber(result.chunksPerSecond),
      optional(result.latencyP50Ms),
      optional(result.latencyP99Ms),
      formatNumber(result.gatewayCpu),
      formatNumber(result.gatewayMemoryMiB),
    ]),
  });
}

await runProgram(program, main);
