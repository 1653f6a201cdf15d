import { describe, expect, it } from 'vitest';
import { createProgressBar, type ProgressBar } from '../../src/cli/progress.js';

function drawn(terminal: { isTTY: boolean; columns?: number }, use: (bar: ProgressBar) => void): string {
  let text = '';
  const bar = createProgressBar({
    ...terminal,
    write: (more: string) => {
      text += more;
    },
  });
  use(bar);
  return text;
}

const download = (label: string, done: number) => ({ label, done, total: 2 ** 21, unit: 'bytes' as const });

describe('the progress bar', () => {
  it('writes a line at the start and one at the end into a log', () => {
    const text = drawn({ isTTY: false }, (bar) => {
      for (let done = 0; done <= 2 ** 21; done += 2 ** 16) bar.update(download('downloading a', done));
      bar.update({ label: 'loading', done: 0.5, total: 1, unit: 'fraction' });
      bar.end();
      bar.end();
    });
    expect(text).toBe('downloading a …\ndownloading a: 2.0 MiB\nloading …\nloading: 50 %\n');
  });

  it('overwrites one line per label in a terminal, and ends it with how far it came', () => {
    const text = drawn({ isTTY: true, columns: 120 }, (bar) => {
      for (let done = 0; done <= 2 ** 21; done += 1) bar.update(download('a', done));
      bar.update(download('b', 2 ** 20));
      bar.end();
    });
    const lines = text.split('\n').map((line) => line.split('\r').at(-1)!);
    expect(lines).toHaveLength(3);
    expect(lines[0]).toMatch(/^a +█{24} {2}2\.0 MiB/);
    expect(lines[1]).toMatch(/^b +█{12}░{12} {2}1\.0 MiB of 2\.0 MiB/);
    // Redrawn some times a second, not at each of two million updates.
    expect(text.split('\r').length).toBeLessThan(2000);
  });

  it('never writes more than fits in a line', () => {
    const text = drawn({ isTTY: true, columns: 30 }, (bar) => {
      bar.update(download('downloading a model with a long name', 5));
      bar.end();
    });
    for (const line of text.split(/[\r\n]/)) expect(line.replace('\x1b[K', '').length).toBeLessThan(30);
  });

  it('draws no bar while the total is unknown', () => {
    const text = drawn({ isTTY: true, columns: 80 }, (bar) => {
      bar.update({ label: 'a', done: 1024, total: 0, unit: 'bytes' });
      bar.end();
    });
    expect(text).toContain('1.0 KiB');
    expect(text).not.toMatch(/[█░]/);
  });
});
