/** `npm run bench:api`: what the API layer costs, measured over engines whose tokens cost nothing. */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Command } from 'commander';
import { loadRequests, type RequestResult } from './api/request-load.js';
import { loadStreams, type StreamLoad, type StreamResult } from './api/stream-load.js';
import { positiveInteger, positiveNumber } from './options.js';
import { formatNumber, formatSpread } from './report/format.js';
import { machineLine, thisMachine } from './report/machine.js';
import { textTable } from './report/rows.js';
import { runProgram } from './run-program.js';
import { spread } from './statistics.js';

interface Flags {
  streams?: number;
  engines?: number;
  tokensPerSecond?: number;
  connections: number;
  seconds: number;
  repeat: number;
  json?: string;
}

/** As many sequences as an engine can run at once. */
const STREAMS_PER_ENGINE = 250;

const enginesFor = (streams: number): number => Math.ceil(streams / STREAMS_PER_ENGINE);

/** One user; many who hardly get anything; many, each of whom gets 20 and 40 tokens a second. */
const LOADS: readonly StreamLoad[] = [
  { streams: 1, engines: 1, tokensPerSecond: 150 },
  { streams: 1_000, engines: enginesFor(1_000), tokensPerSecond: 500 },
  { streams: 1_000, engines: enginesFor(1_000), tokensPerSecond: 20_000 },
  { streams: 1_000, engines: enginesFor(1_000), tokensPerSecond: 40_000 },
];

const program = new Command('npm run bench:api --')
  .description('Measures one gateway process over fake engines: open streams, tokens per second, added latency.')
  .option('--streams <n>', 'streams open at once, for one load of your own instead of the usual ones', positiveInteger)
  .option('--tokens-per-second <n>', 'tokens that its engines emit over all its streams', positiveNumber)
  .option(
    '--engines <n>',
    `engines that its streams are spread over (default: one for every ${STREAMS_PER_ENGINE})`,
    positiveInteger,
  )
  .option('--connections <n>', 'connections for short completions', positiveInteger, 64)
  .option('--seconds <n>', 'length of each measurement', positiveNumber, 10)
  .option('--repeat <n>', 'rounds of all measurements; tables show median (min–max)', positiveInteger, 1)
  .option('--json <file>', 'write the figures to this file');

async function main({ connections, seconds, repeat, json, ...own }: Flags): Promise<void> {
  const loads = loadsOf(own);
  const rounds: { streams: StreamResult[]; completions: RequestResult }[] = [];
  for (let round = 1; round <= repeat; round += 1) {
    const streams: StreamResult[] = [];
    for (const load of loads) {
      console.error(`round ${round}: ${load.streams} streams, ${formatNumber(load.tokensPerSecond)} tok/s …`);
      streams.push(await loadStreams(load, seconds));
    }
    console.error(`round ${round}: ${connections} connections, one-token completions …`);
    rounds.push({ streams, completions: await loadRequests({ connections, seconds }) });
  }

  const machine = thisMachine();
  console.log(`\n${machineLine(machine)}\n`);
  console.log(
    streamTable(
      loads,
      rounds.map(({ streams }) => streams),
    ),
  );
  const over = (metric: 'requestsPerSecond' | 'latencyP50Ms' | 'latencyP99Ms') =>
    formatSpread(spread(rounds.map(({ completions }) => completions[metric])));
  const latency = `p50 ${over('latencyP50Ms')} ms, p99 ${over('latencyP99Ms')} ms`;
  console.log(`\n${connections} connections: ${over('requestsPerSecond')} one-token completions/s, ${latency}`);
  if (json) {
    await mkdir(dirname(json), { recursive: true });
    await writeFile(json, `${JSON.stringify({ date: new Date().toISOString(), machine, loads, rounds })}\n`);
  }
}

function loadsOf({ streams, tokensPerSecond, engines }: Partial<StreamLoad>): readonly StreamLoad[] {
  if (streams === undefined && tokensPerSecond === undefined && engines === undefined) return LOADS;
  const own = { streams: streams ?? 1_000, tokensPerSecond: tokensPerSecond ?? 20_000 };
  return [{ ...own, engines: engines ?? enginesFor(own.streams) }];
}

const COLUMNS: readonly (readonly [title: string, metric: keyof StreamResult])[] = [
  ['received tok/s', 'receivedTokensPerSecond'],
  ['added p50 ms', 'latencyP50Ms'],
  ['added p99 ms', 'latencyP99Ms'],
  ['added max ms', 'latencyMaxMs'],
  ['gateway CPU', 'gatewayCpu'],
  ['µs/token', 'gatewayMicrosecondsPerToken'],
  ['MiB', 'gatewayMemoryMiB'],
  ['reader CPU', 'readerCpu'],
];

/** One row per load: median (min–max) over the rounds of every figure. */
function streamTable(loads: readonly StreamLoad[], rounds: readonly (readonly StreamResult[])[]): string {
  return textTable({
    header: ['streams', 'engines', 'emitted tok/s', ...COLUMNS.map(([title]) => title)],
    rows: loads.map(({ streams, engines, tokensPerSecond }, i) => [
      String(streams),
      String(engines),
      formatNumber(tokensPerSecond),
      ...COLUMNS.map(([, metric]) => formatSpread(spread(rounds.map((results) => results[i]![metric])))),
    ]),
  });
}

await runProgram(program, main);
