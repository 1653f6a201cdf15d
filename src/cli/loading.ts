import type { LoadingServing } from '../serving/index.js';
import { createProgressBar } from './progress.js';

const POLL_MS = 50;

/** What the phases of loading mean to a user; `starting` is over too soon to be shown. */
const LABELS: Record<string, string> = {
  download: 'downloading the model',
  verify: 'verifying the model',
  requantize: 're-encoding the weights',
  kernel: 'preparing the attention kernel',
  load: 'loading the model',
  'self-test': 'comparing with llama.cpp',
};

/**
 * Shows how far a serving is with loading, until it can take requests.
 *
 * @throws why it never will
 */
export async function showLoading(serving: LoadingServing): Promise<void> {
  const bar = createProgressBar();
  let shown: string | undefined;

  function show(label: string, fraction: number): void {
    // What is looked at only now and then is never seen at its end.
    if (shown !== undefined && shown !== label) bar.update({ label: shown, done: 1, total: 1, unit: 'fraction' });
    bar.update({ label, done: fraction, total: 1, unit: 'fraction' });
    shown = label;
  }

  const poll = setInterval(() => {
    const state = serving.state();
    if (state.state === 'loading' && state.phase !== 'starting') {
      show(LABELS[state.phase] ?? state.phase, state.fraction);
    }
  }, POLL_MS);
  try {
    await serving.whenReady();
    if (shown !== undefined) show(shown, 1);
  } finally {
    clearInterval(poll);
    bar.end();
  }
}
