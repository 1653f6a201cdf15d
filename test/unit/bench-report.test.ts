import { describe, expect, it } from 'vitest';
import { formatNumber, formatSpread } from '../../bench/report/format.js';
import { htmlReport } from '../../bench/report/html.js';
import { replaceSection } from '../../bench/report/markdown.js';
import { contenders, type Report, ratioOf } from '../../bench/report/report.js';
import { describeWorkload, markdownTable, ratioTable, resultTable, textTable } from '../../bench/report/rows.js';
import { fasterModes, type Measurement } from '../../bench/server/comparison.js';
import { summarise } from '../../bench/server/summary.js';
import { selectWorkloads } from '../../bench/server/workloads.js';

const [w1] = selectWorkloads(['W1']) as [ReturnType<typeof selectWorkloads>[0]];

/** A run of two requests that takes `seconds` for ten tokens. */
function measurement(target: string, round: number, seconds: number, modeOf?: string): Measurement {
  const request = { startMs: 0, promptTokens: 4, cachedTokens: 2, outputTokens: 5 };
  const endMs = seconds * 1_000;
  const trace = {
    failures: [],
    requests: [
      { ...request, chunkMs: [endMs / 10, endMs / 2], endMs },
      { ...request, chunkMs: [endMs / 5, endMs], endMs },
    ],
  };
  return { workload: 'W1', target, modeOf, round, summary: summarise(trace), trace };
}

const report: Report = {
  date: '2026-01-02T03:04:05.000Z',
  command: 'npm run bench:peer --',
  machine: { cpu: 'A <fast> CPU', cores: 2, memoryGiB: 8, system: 'Linux 6', node: 'v20.19.0' },
  model: 'random-135m',
  targets: [{ label: 'Quire' }, { label: 'peer', modeOf: 'peer' }, { label: 'peer -np', modeOf: 'peer' }],
  workloads: [{ id: 'W1', title: w1.title, requests: 64, concurrency: 32, longestRequest: 320 }],
  measurements: [
    measurement('Quire', 0, 1),
    measurement('peer', 0, 4, 'peer'),
    measurement('peer -np', 0, 2, 'peer'),
    measurement('Quire', 1, 1.25),
    measurement('peer -np', 1, 5, 'peer'),
  ],
};

describe('modes of one server', () => {
  const start = () => Promise.reject(new Error('not started here'));
  const targets = report.targets.map((target) => ({ ...target, start }));

  it('are narrowed to the one that was faster in the first round; others stay', () => {
    expect(fasterModes(targets, w1, report.measurements).map(({ label }) => label)).toEqual(['Quire', 'peer -np']);
  });

  it('are narrowed to one also when they tie', () => {
    const tied = [measurement('Quire', 0, 1), measurement('peer', 0, 2, 'peer'), measurement('peer -np', 0, 2, 'peer')];
    expect(fasterModes(targets, w1, tied)).toHaveLength(2);
  });

  it('lose against the other when all of their requests failed', () => {
    const failed = { ...measurement('peer -np', 0, 1, 'peer'), summary: summarise({ requests: [], failures: ['x'] }) };
    const tried = [measurement('peer', 0, 9, 'peer'), failed];
    expect(fasterModes(targets, w1, tried).map(({ label }) => label)).toEqual(['Quire', 'peer']);
  });

  it('are represented in ratios by the one that all rounds ran', () => {
    expect(contenders(report, 'W1')).toEqual(['Quire', 'peer -np']);
  });
});

it('ratios are taken round by round', () => {
  expect(ratioOf(report, 'W1', 'Quire', 'peer -np', 'outputTokensPerSecond')).toEqual({ median: 3, min: 2, max: 4 });
  expect(ratioOf(report, 'W1', 'Quire', 'peer', 'outputTokensPerSecond')).toEqual({ median: 4, min: 4, max: 4 });
});

describe('numbers', () => {
  it.each([
    [0.1234, '0.123'],
    [1.236, '1.24'],
    [12.34, '12.3'],
    [123.4, '123'],
    [1234.5, '1,235'],
    [Number.NaN, '–'],
  ])('%d is written %s', (value, written) => {
    expect(formatNumber(value)).toBe(written);
  });

  it('show their range where there is one', () => {
    expect(formatSpread({ median: 2, min: 1, max: 3 })).toBe('2.00 (1.00–3.00)');
    expect(formatSpread({ median: 2, min: 2, max: 2 })).toBe('2.00');
  });
});

describe('tables', () => {
  it('say how requests arrived', () => {
    const [workload] = report.workloads;
    expect(describeWorkload(report, workload!)).toMatch(/^W1, many users: .* \(64 requests, 32 at once\)$/);
    expect(describeWorkload({ ...report, rate: 2 }, workload!)).toMatch(/\(64 requests, 2 a second\)$/);
  });

  it('have a row for every server with the range over its runs', () => {
    const { header, rows } = resultTable(report);
    const column = header.indexOf('output tok/s');
    expect(rows.map((row) => [row[1], row[2], row[column], row.at(-1)])).toEqual([
      ['Quire', '2', '9.00 (8.00–10.0)', '50 %'],
      ['peer', '1', '2.50', '50 %'],
      ['peer -np', '2', '3.50 (2.00–5.00)', '50 %'],
    ]);
  });

  it('of ratios compare the first server with the better mode of the other', () => {
    expect(ratioTable(report).rows.map((row) => row.slice(0, 3))).toEqual([
      ['W1', 'Quire ÷ peer -np', '3.00 (2.00–4.00)'],
    ]);
  });

  it('line up in a terminal', () => {
    expect(textTable({ header: ['a', 'b', 'c'], rows: [['x', 'long', '1,234']] })).toBe(
      ['a  b         c', '─  ────  ─────', 'x  long  1,234'].join('\n'),
    );
  });

  it('are valid Markdown', () => {
    expect(markdownTable({ header: ['a', 'b', 'c'], rows: [['x', 'y', '1']] })).toBe(
      ['| a | b | c |', '| --- | --- | ---: |', '| x | y | 1 |'].join('\n'),
    );
  });
});

describe('the section of a document', () => {
  const empty = 'before\n<!-- generated: results -->\n<!-- /generated -->\nafter\n';

  it('is written between the markers and nowhere else', () => {
    const document = replaceSection(empty, report);
    expect(
      document.startsWith('before\n<!-- generated: results -->\n\n### random-135m\n\n2026-01-02, A <fast> CPU'),
    ).toBe(true);
    expect(document.endsWith('|\n\n<!-- /generated -->\nafter\n')).toBe(true);
  });

  it('replaces the same model’s section and leaves those of others alone', () => {
    const other = { ...report, model: 'another model' };
    const both = replaceSection(replaceSection(empty, report), other);
    expect(both.match(/^### .*/gm)).toEqual(['### another model', '### random-135m']);
    expect(replaceSection(replaceSection(both, report), other)).toBe(both);
    const later = replaceSection(both, { ...report, date: '2027-01-01T00:00:00.000Z' });
    expect(later.match(/^20\d\d/gm)).toEqual(['2026', '2027']);
  });

  it('needs the markers', () => {
    expect(() => replaceSection('no markers', report)).toThrow('<!-- generated: results -->');
  });
});

describe('the page', () => {
  const page = htmlReport(report);

  it('needs nothing but itself', () => {
    expect(page).not.toMatch(/<script|<link|<img|@import|url\(|(?:src|href)=/i);
  });

  it('has a plot of each kind per workload, and every server in each', () => {
    expect(page.match(/<svg/g)).toHaveLength(5);
    for (const colour of [1, 2, 3]) {
      expect(page.split(`stroke="var(--series-${colour})"`)).toHaveLength(5);
      expect(page.split(`fill="var(--series-${colour})"`)).toHaveLength(2);
    }
  });

  it('draws numbers only, whatever was measured', () => {
    const nothing = {
      ...report,
      measurements: [
        {
          ...report.measurements[0]!,
          summary: summarise({ requests: [], failures: [] }),
          trace: { requests: [], failures: [] },
        },
      ],
    };
    for (const html of [page, htmlReport(nothing)]) expect(html).not.toMatch(/NaN|Infinity|undefined/);
  });

  it('escapes what it was given', () => {
    expect(page).toContain('A &lt;fast&gt; CPU');
    expect(page).not.toContain('<fast>');
  });
});
