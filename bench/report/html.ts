import { interTokenLatencies, type TimelineSlice, timeline, timesToFirstToken } from '../server/summary.js';
import { type CdfPoint, cdf } from '../statistics.js';
import { machineLine } from './machine.js';
import { DARK, LIGHT } from './palette.js';
import { metricOf, type Report, roundsOf } from './report.js';
import { describeWorkload, ratioTable, resultTable, type Table } from './rows.js';
import { barChart, cdfChart, colourOf, escapeXml, type Series, timeChart } from './svg.js';

const CDF_POINTS = 200;
const TIMELINE_SLICES = 60;

/** The whole report as one page that needs nothing but itself: style and plots are inline, no scripts, no requests. */
export function htmlReport(report: Report): string {
  const ratios = ratioTable(report);
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Quire benchmark: ${escapeXml(report.model)}</title>
<style>${STYLE}</style>
<main>
<header>
<h1>Quire benchmark</h1>
<p>${escapeXml(report.model)} · ${escapeXml(report.date.slice(0, 10))} · ${escapeXml(machineLine(report.machine))}</p>
<p><code>${escapeXml(report.command)}</code></p>
<p class="legend">${report.targets.map(({ label }, i) => legendEntry(label, i)).join(' ')}</p>
</header>
${report.workloads.map((workload) => workloadSection(report, workload)).join('\n')}
<section><h2>All figures</h2><p>Median (least–greatest) over the runs.</p>${htmlTable(resultTable(report))}</section>
${ratios.rows.length === 0 ? '' : `<section><h2>Ratios</h2><p>Round by round.</p>${htmlTable(ratios)}</section>`}
</main>
</html>
`;
}

function legendEntry(label: string, index: number): string {
  return `<span><i style="background:${colourOf(index)}"></i>${escapeXml(label)}</span>`;
}

function workloadSection(report: Report, workload: Report['workloads'][number]): string {
  const { id } = workload;
  const series = <Point>(pointsOf: (target: string) => Point): Series<Point>[] =>
    report.targets.flatMap(({ label }, colour) =>
      roundsOf(report, id, label).length === 0 ? [] : [{ label, colour, points: pointsOf(label) }],
    );
  const samples = (samplesOf: typeof timesToFirstToken) =>
    series<CdfPoint[]>((target) =>
      cdf(
        roundsOf(report, id, target).flatMap((m) => samplesOf(m.trace)),
        CDF_POINTS,
      ),
    );
  const overTime = (field: 'generating' | 'tokensPerSecond') =>
    series((target) => firstTimeline(report, id, target).map((slice) => ({ atMs: slice.atMs, value: slice[field] })));
  const throughput = series((target) => metricOf(report, id, target, 'outputTokensPerSecond'));

  const figures: [caption: string, plot: string][] = [
    ['Output tokens per second: median, least and greatest run', barChart(`${id} throughput`, throughput, 'tok/s')],
    ['Time to first token, share of requests', cdfChart(`${id} time to first token`, samples(timesToFirstToken))],
    ['Inter-token latency, share of gaps', cdfChart(`${id} inter-token latency`, samples(interTokenLatencies))],
    ['Output tokens per second, first run', timeChart(`${id} tokens over time`, overTime('tokensPerSecond'))],
    ['Requests generating, first run', timeChart(`${id} generating requests over time`, overTime('generating'))],
  ];
  const plots = figures.map(([caption, plot]) => `<figure><figcaption>${caption}</figcaption>${plot}</figure>`);
  const heading = escapeXml(describeWorkload(report, workload));
  return `<section><h2>${heading}</h2><div class="plots">${plots.join('')}</div></section>`;
}

/** Curves of different runs do not average, so the one that all targets ran side by side stands for them. */
function firstTimeline(report: Report, workload: string, target: string): TimelineSlice[] {
  const first = roundsOf(report, workload, target)[0];
  return first ? timeline(first.trace, TIMELINE_SLICES) : [];
}

function htmlTable({ header, rows }: Table): string {
  const cells = (tag: string, row: string[]) => row.map((cell) => `<${tag}>${escapeXml(cell)}</${tag}>`).join('');
  const body = rows.map((row) => `<tr>${cells('td', row)}</tr>`).join('');
  return `<div class="scroll"><table><tr>${cells('th', header)}</tr>${body}</table></div>`;
}

const STYLE = `
:root { color-scheme: light dark;${LIGHT}}
@media (prefers-color-scheme: dark) { :root {${DARK}} }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { margin: 0; font-size: 26px; } h2 { margin: 0 0 12px; font-size: 17px; }
header p { margin: 4px 0; color: var(--muted); } code { font-size: 13px; }
.legend span { margin-right: 18px; color: var(--ink); white-space: nowrap; }
.legend i { display: inline-block; width: 12px; height: 12px; margin-right: 6px; border-radius: 2px; }
section { margin-top: 24px; padding: 20px; background: var(--card); border: 1px solid var(--grid); border-radius: 8px; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(440px, 100%), 1fr)); gap: 24px; }
figure { margin: 0; min-width: 0; } figure:first-child { grid-column: 1 / -1; }
figcaption { margin-bottom: 6px; color: var(--muted); font-size: 13px; }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--muted); font: 12px system-ui, sans-serif; } svg text.label, svg text.value { fill: var(--ink); }
.grid { stroke: var(--grid); } .line { fill: none; stroke-width: 2; stroke-linejoin: round; }
.whisker { fill: none; stroke: var(--ink); stroke-width: 1.5; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px; }
th, td { padding: 5px 12px 5px 0; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--grid); }
th { color: var(--muted); font-weight: 500; }
th:nth-child(-n+2), td:nth-child(-n+2) { text-align: left; }
`;
