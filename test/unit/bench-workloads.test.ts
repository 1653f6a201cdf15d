import { describe, expect, it } from 'vitest';
import { fractionDone } from '../../bench/llama-cpp.js';
import { commandLine, sized } from '../../bench/options.js';
import { type BenchRequest, requestsOf, selectWorkloads, WORKLOADS } from '../../bench/server/workloads.js';

const [w1, w2, w3] = selectWorkloads(['W1', 'W2', 'W3']) as [
  (typeof WORKLOADS)[0],
  (typeof WORKLOADS)[0],
  (typeof WORKLOADS)[0],
];
const lengths = (requests: BenchRequest[]) => requests.map((request) => request.promptTokenIds.length);

describe('workloads', () => {
  it('are chosen by id in any case, W4 meaning both of its parts', () => {
    expect(selectWorkloads(['w4', 'W1']).map(({ id }) => id)).toEqual(['W1', 'W4a', 'W4b']);
  });

  it.each(['W9', ''])('refuse the id "%s" and name those that exist', (id) => {
    expect(() => selectWorkloads([id])).toThrow(`no workload is called "${id}"; there are W1, W2, W3, W4a, W4b`);
  });

  it.each(WORKLOADS)('$id sends as many requests as it says, none longer than it says', (workload) => {
    const requests = requestsOf(workload, 1, 0);
    expect(requests).toHaveLength(workload.requests);
    const longest = Math.max(...requests.map((request) => request.promptTokenIds.length + request.maxTokens));
    expect(longest).toBe(workload.longestRequest);
  });

  it.each(WORKLOADS)(
    '$id sends the same for the same seed and round, and shares no prompt between rounds',
    (workload) => {
      expect(requestsOf(workload, 1, 0)).toEqual(requestsOf(workload, 1, 0));
      const beginnings = (round: number) =>
        requestsOf(workload, 1, round).map((request) => request.promptTokenIds.slice(0, 16).join());
      const earlier = new Set(beginnings(0));
      for (const beginning of beginnings(1)) expect(earlier).not.toContain(beginning);
    },
  );

  it('use ids of ordinary tokens, which every vocabulary has', () => {
    for (const workload of WORKLOADS) {
      for (const { promptTokenIds } of requestsOf(workload, 1, 0)) {
        expect(Math.min(...promptTokenIds)).toBeGreaterThanOrEqual(1_000);
        expect(Math.max(...promptTokenIds)).toBeLessThan(30_000);
      }
    }
  });

  it('W1 has a prompt of its own for every request', () => {
    const prompts = requestsOf(w1, 1, 0).map((request) => request.promptTokenIds.join());
    expect(new Set(prompts).size).toBe(64);
  });

  it('W2 shares exactly its first 2,000 tokens', () => {
    const prompts = requestsOf(w2, 1, 0).map((request) => request.promptTokenIds);
    expect(new Set(prompts.map((prompt) => prompt.slice(0, 2_000).join())).size).toBe(1);
    expect(new Set(prompts.map((prompt) => prompt.slice(2_000).join())).size).toBe(32);
  });

  it('W3 makes every eighth prompt a long one', () => {
    expect(lengths(requestsOf(w3, 1, 0)).slice(0, 16)).toEqual([
      ...[64, 64, 64, 64, 64, 64, 64, 3_000],
      ...[64, 64, 64, 64, 64, 64, 64, 3_000],
    ]);
  });
});

describe('sizes', () => {
  it('--quick keeps a quarter of the requests and no more users than requests', () => {
    const [quick] = sized([w1], { quick: true });
    expect(quick).toMatchObject({ requests: 16, concurrency: 16 });
  });

  it('--requests and --concurrency win over the workload and over --quick', () => {
    expect(sized([w1], { quick: true, requests: 5, concurrency: 2 })[0]).toMatchObject({ requests: 5, concurrency: 2 });
  });
});

describe('the command of a report', () => {
  it('is the plain script without arguments', () => {
    expect(commandLine('npm run bench', [])).toBe('npm run bench');
  });

  it('leaves out keys and the paths of this machine', () => {
    const args = [
      '--quick',
      '--api-key',
      'secret',
      '--json=/home/me/a.json',
      '--llama-server',
      '/home/me/x',
      '--seed',
      '2',
    ];
    expect(commandLine('npm run bench', args)).toBe('npm run bench -- --quick --seed 2');
  });
});

describe('progress of a build', () => {
  it.each([
    ['[12/48] Building CXX object src/llama.cpp.o', 0.25],
    ['[  5%] Building C object ggml.c.o', 0.05],
    ['-- Found OpenSSL', undefined],
  ])('%s', (line, fraction) => {
    expect(fractionDone(line)).toBe(fraction);
  });
});
