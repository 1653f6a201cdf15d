import { describe, expect, it } from 'vitest';
import { leastMs } from '../../bench/engine/model-costs.js';
import { inTurns } from '../../bench/engine/turns.js';
import { simulateWaste } from '../../bench/engine/waste.js';
import { fileName } from '../../bench/publish.js';
import { paragraphsOf } from '../../bench/quality/prose.js';
import { createRandom } from '../../bench/random.js';
import { curveChart } from '../../bench/report/curves.js';
import { replaceGenerated } from '../../bench/report/document.js';
import { picture } from '../../bench/report/picture.js';
import { column, stackedBars } from '../../bench/report/stacked-bars.js';

describe('the simulation of wasted memory', () => {
  const simulate = (blockSize: number, sharedPrefix = 0) => simulateWaste({ requests: 200, blockSize, sharedPrefix });

  it('finds about half a block wasted for each sequence, and so more with larger blocks', () => {
    const [small, large] = [simulate(16), simulate(64)];
    expect(small.pages).toBeGreaterThan(0.005);
    expect(small.pages).toBeLessThan(0.03);
    expect(large.pages / small.pages).toBeGreaterThan(3);
    expect(large.pages / small.pages).toBeLessThan(5);
  });

  it('counts every slot as used or wasted where nothing is shared', () => {
    const { pages, tokensPerSlot } = simulate(16);
    expect(pages + tokensPerSlot).toBeCloseTo(1, 10);
  });

  it('counts shared blocks once', () => {
    const shared = simulate(16, 500);
    expect(shared.pages).toBeLessThan(0.03);
    expect(shared.tokensPerSlot).toBeGreaterThan(1.3);
  });

  it('finds contiguous memory wasted the more, the less is known when it is taken', () => {
    const { contiguous, pages } = simulate(16);
    expect(contiguous.maxModelLen).toBeGreaterThan(contiguous.powerOfTwo);
    expect(contiguous.powerOfTwo).toBeGreaterThan(contiguous.finalLength);
    expect(contiguous.finalLength).toBeGreaterThan(pages);
  });
});

describe('contenders in turns', () => {
  it('all run once a round, and each round begins with another', () => {
    const order: string[] = [];
    const samples = inTurns(3, ['a', 'b', 'c'], (contender, round) => {
      order.push(contender);
      return round * 10 + 'abc'.indexOf(contender);
    });
    expect(order.join('')).toBe('abcbcacab');
    expect(samples).toEqual([
      [0, 10, 20],
      [1, 11, 21],
      [2, 12, 22],
    ]);
  });
});

describe('the least time of a step', () => {
  const costs = { perRow: 1e9, perOutput: 1e9, perAttended: 1e6, tokenBytes: 1e6, weightBytes: 1e9 };
  const peaks = { threads: 1, f32_gmacs: 10, int8_gmacs: 100, read_gbs: 10, l2_read_gbs: 100 };

  it('is that of computing where there is much to compute', () => {
    const work = { steps: 1, rows: 100, outputs: 100, attended: 1e5, kvTokens: 1 };
    expect(leastMs(work, costs, peaks)).toBeCloseTo(2_000 + 10_000);
  });

  it('is that of reading where there is little', () => {
    const work = { steps: 2, rows: 1, outputs: 1, attended: 0, kvTokens: 1_000 };
    expect(leastMs(work, costs, peaks)).toBeCloseTo(200 + 100);
  });

  it('takes products for floats where the CPU has none for integers', () => {
    const work = { steps: 1, rows: 100, outputs: 0, attended: 0, kvTokens: 0 };
    expect(leastMs(work, costs, { ...peaks, int8_gmacs: undefined })).toBeCloseTo(10_000);
  });
});

describe('log-normal numbers', () => {
  it('have the mean and spread that were asked for', () => {
    const random = createRandom('a seed');
    const numbers = Array.from({ length: 20_000 }, () => random.logNormal(300, 0.8));
    const mean = (values: number[]) => values.reduce((sum, value) => sum + value) / values.length;
    expect(mean(numbers) / 300).toBeCloseTo(1, 1);
    const logarithms = numbers.map(Math.log);
    const center = mean(logarithms);
    expect(Math.sqrt(mean(logarithms.map((value) => (value - center) ** 2)))).toBeCloseTo(0.8, 1);
  });
});

describe('a picture', () => {
  const curves = [
    { label: 'ours', values: [1, 2, 4] },
    { label: 'theirs', values: [1, Number.NaN, 16] },
  ];
  const chart = curveChart({ places: ['1', '2', '4'], placesTitle: 'sequences', valuesTitle: 'ms', curves });
  const bars = stackedBars({ title: 'all', unit: 'ms', bars: [{ label: 'one', parts: [3, 1], note: '4 ms' }] });

  it('is a file of its own for a light and for a dark page', () => {
    const svg = picture('A < B', ['ours', 'theirs'], chart);
    expect(svg).toMatch(/^<svg xmlns="http:\/\/www.w3.org\/2000\/svg"/);
    expect(svg).toContain('prefers-color-scheme: dark');
    expect(svg).toContain('A &lt; B');
    expect(svg).not.toMatch(/<script|<image|@import|url\(|href=/i);
    for (const label of ['ours', 'theirs']) expect(svg).toContain(`>${label}</text>`);
  });

  it('has a dot for everything that was measured and numbers only', () => {
    const body = chart.body.join('');
    expect(body.match(/<circle/g)).toHaveLength(5);
    expect(body).not.toMatch(/NaN|Infinity|undefined/);
  });

  it('draws a doubling as one distance, wherever it is', () => {
    const heights = [...chart.body.join('').matchAll(/cy="([\d.]+)"/g)].map((match) => Number(match[1]));
    expect(heights[0]! - heights[1]!).toBeCloseTo(heights[1]! - heights[2]!, 0);
  });

  it('draws the parts of a bar one after the other, as long as they are', () => {
    const [first, second] = [...bars.body.join('').matchAll(/<rect x="([\d.]+)" y="\d+" width="([\d.]+)"/g)];
    expect(Number(first![1]) + Number(first![2])).toBeCloseTo(Number(second![1]), 1);
    expect(Number(first![2]) / Number(second![2])).toBeCloseTo(3, 1);
    expect(column([bars, bars]).height).toBeGreaterThan(2 * bars.height);
  });
});

describe('generated parts of a document', () => {
  const document = 'a\n<!-- generated: x -->\n<!-- /generated -->\nb\n<!-- generated: y -->\n<!-- /generated -->\n';

  it('are written between their own markers, section by section', () => {
    const once = replaceGenerated(document, 'y', '### m', 'first');
    const twice = replaceGenerated(replaceGenerated(once, 'y', '### l', 'other'), 'y', '### m', 'second');
    expect(twice).toBe(
      'a\n<!-- generated: x -->\n<!-- /generated -->\nb\n' +
        '<!-- generated: y -->\n\n### l\n\nother\n\n### m\n\nsecond\n\n<!-- /generated -->\n',
    );
  });

  it('have to be there', () => {
    expect(() => replaceGenerated(document, 'z', '### m', '')).toThrow('<!-- generated: z -->');
  });
});

it('names files after what they are about', () => {
  expect(fileName('SmolLM2-135M-Instruct, re-encoded from Q4_1')).toBe('smollm2-135m-instruct-re-encoded-from-q4-1');
});

it('takes sentences from Markdown, and neither headings, lists, tables nor code', () => {
  const sentence = 'This is a sentence of some length that a person has written\nfor other people to read in peace.';
  const markdown = [
    `# ${sentence}`,
    sentence,
    `- ${sentence}`,
    `| ${sentence} | ${sentence} |`,
    `\`\`\`sh\n\n${sentence}\n\n\`\`\``,
    'Too short.',
  ].join('\n\n');
  expect(paragraphsOf(markdown)).toEqual([sentence.replace('\n', ' ')]);
});
