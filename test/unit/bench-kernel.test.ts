import { describe, expect, it } from 'vitest';
import { MEASURED_TYPES, shapeCases, WORKLOADS, workloadCases } from '../../bench/kernel/cases.js';
import { bestPeaks, type KernelResult, type Peaks, resultOf, roofOver } from '../../bench/kernel/measure.js';
import { type KernelReport, levelTable, replaceResults, shapeTable, workloadTable } from '../../bench/kernel/report.js';
import { rooflineSvg } from '../../bench/kernel/roofline.js';

const peaks: Peaks = { threads: 2, f32_gmacs: 40, int16_gmacs: 80, int8_gmacs: 160, read_gbs: 20, l2_read_gbs: 100 };

/** Every case at 10 GFLOP/s and the same operations per byte. */
const measured = (intensity: number) => (test: Parameters<typeof resultOf>[0]) =>
  resultOf(test, [{ seconds: 1e-3, flops: 1e7, bytes: 1e7 / intensity }]);

const report: KernelReport = {
  date: '2026-01-02T03:04:05.000Z',
  command: 'npm run bench:kernel',
  machine: { cpu: 'a CPU', cores: 2, memoryGiB: 8, system: 'Linux', node: 'v20' },
  peaks: [{ ...peaks, threads: 1 }, peaks],
  cases: workloadCases(['wide', 'narrow'], [1, 2]).map(measured(3)),
  shapes: shapeCases('wide', 2).map(measured(3)),
};

describe('figures of the kernel benchmark', () => {
  it('a result is the median of its rounds, in operations and bytes a second', () => {
    const times = [3, 1, 2].map((seconds) => ({ seconds, flops: 8e9, bytes: 4e9 }));
    const { seconds, gflops, gbs, intensity } = resultOf(report.cases[0]!, times);
    expect({ seconds, gflops, gbs, intensity }).toEqual({ seconds: 2, gflops: 4, gbs: 2, intensity: 2 });
  });

  it('a peak is the best of its rounds, and what a CPU cannot do stays absent', () => {
    expect(bestPeaks([peaks, { ...peaks, f32_gmacs: 41, read_gbs: 19 }])).toEqual({ ...peaks, f32_gmacs: 41 });
  });

  it('the roof is memory until arithmetic is', () => {
    expect(roofOver({ pageType: 'f16', intensity: 3 }, peaks)).toBe(60);
    expect(roofOver({ pageType: 'f16', intensity: 30 }, peaks)).toBe(80);
    expect(roofOver({ pageType: 'i16', intensity: 30 }, peaks)).toBe(160);
  });

  it('tables have every case once', () => {
    expect(workloadTable(report).rows).toHaveLength(MEASURED_TYPES.length * WORKLOADS.length);
    expect(workloadTable(report).rows[0]!.slice(3)).toEqual(['10.0', '6 %', '3.33', '17 %', '17 %']);
    expect(levelTable(report).header).toHaveLength(2 + 4);
    expect(
      shapeTable(report)
        .rows.flat()
        .filter((cell) => cell === '10.0 (17 %)'),
    ).toHaveLength(18);
    expect(report.cases).toHaveLength(WORKLOADS.length * MEASURED_TYPES.length * 2 * 2);
  });

  it('replace what was between the markers of a document, and nothing else', () => {
    const document = 'before\n<!-- generated: results -->\nold\n<!-- /generated -->\nafter\n';
    const replaced = replaceResults(document, report);
    expect(replaced).toMatch(/^before\n<!-- generated: results -->\n\n2026-01-02, a CPU/);
    expect(replaced).toMatch(/\n\n<!-- \/generated -->\nafter\n$/);
    expect(replaced).not.toContain('old');
    expect(() => replaceResults('no markers', report)).toThrow(/generated/);
  });
});

describe('the roofline', () => {
  const results: KernelResult[] = report.cases.filter(({ level, threads }) => level === 'wide' && threads === 2);

  it('has a dot and a name for each workload, and the roofs that the machine has', () => {
    const svg = rooflineSvg(results, peaks);
    const legend = MEASURED_TYPES.length;
    expect(svg.match(/<circle/g)).toHaveLength(results.length + legend);
    for (const { name } of WORKLOADS) expect(svg).toContain(`>${name}</text>`);
    expect(svg).toContain('f32, 80.0 GFLOP/s');
    expect(svg).not.toContain('BF16');
    expect(svg).not.toContain('NaN');
  });
});
