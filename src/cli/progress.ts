import { formatBytes } from './format.js';

/** How far something is: bytes, or parts of one (`total` 1). A total of 0 means that it is not known. */
export interface Progress {
  /** What happens, e.g. `downloading model.gguf`. Another label ends the line before. */
  label: string;
  done: number;
  total: number;
  unit: 'bytes' | 'fraction';
}

export interface ProgressBar {
  update(progress: Progress): void;
  /** Ends the last line. Nothing if there is none. */
  end(): void;
}

/** Where it draws; a part of `process.stderr`. */
export interface ProgressOutput {
  write(text: string): unknown;
  isTTY?: boolean | undefined;
  columns?: number | undefined;
}

const BAR_WIDTH = 24;
/** Redrawing more often than this cannot be read and costs time. */
const REDRAW_MS = 100;

/**
 * Shows how far a download or a load is. In a terminal: one line per label, with a bar, rate and remaining time, redrawn
 * in place. Elsewhere, in a log: one line when a label begins and one when it ends.
 */
export function createProgressBar(output: ProgressOutput = process.stderr): ProgressBar {
  let current: Progress | undefined;
  let startedAt = 0;
  let startedWith = 0;
  let drawnAt = 0;

  function draw(now: number, progress: Progress): void {
    drawnAt = now;
    const line = describe(progress, progress.done - startedWith, (now - startedAt) / 1000);
    // Longer lines would wrap, and only their last row be overwritten. Some terminals say they have 0 columns.
    const width = (output.columns || 80) - 1;
    output.write(`\r${line.slice(0, width)}\x1b[K`);
  }

  function end(): void {
    if (!current) return;
    if (output.isTTY) {
      draw(performance.now(), current);
      output.write('\n');
    } else {
      output.write(`${current.label}: ${amount(current)}\n`);
    }
    current = undefined;
  }

  return {
    update(progress) {
      const now = performance.now();
      if (current?.label !== progress.label) {
        end();
        startedAt = now;
        // What an earlier run brought says nothing about the speed of this one.
        startedWith = progress.done;
        drawnAt = Number.NEGATIVE_INFINITY;
        if (!output.isTTY) output.write(`${progress.label} …\n`);
      }
      current = progress;
      if (output.isTTY && now - drawnAt >= REDRAW_MS) draw(now, progress);
    },
    end,
  };
}

function describe(progress: Progress, doneHere: number, seconds: number): string {
  const { label, done, total, unit } = progress;
  const parts = [label.padEnd(28)];
  if (total > 0) parts.push(bar(Math.min(1, done / total)));
  parts.push(amount(progress));
  const rate = seconds > 0 ? doneHere / seconds : 0;
  if (unit === 'bytes' && rate > 0) parts.push(`${formatBytes(Math.round(rate))}/s`);
  if (rate > 0 && done < total) parts.push(`${clock((total - done) / rate)} left`);
  return parts.join('  ');
}

function bar(fraction: number): string {
  const filled = Math.round(fraction * BAR_WIDTH);
  return `${'█'.repeat(filled)}${'░'.repeat(BAR_WIDTH - filled)}`;
}

function amount({ done, total, unit }: Progress): string {
  if (unit === 'fraction') return `${Math.round((100 * done) / (total || 1))} %`;
  const bytes = formatBytes(Math.round(done));
  return total > 0 && done < total ? `${bytes} of ${formatBytes(total)}` : bytes;
}

/** Minutes and seconds, `3:07`. */
function clock(seconds: number): string {
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`;
}
