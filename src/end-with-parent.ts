import koffi from 'koffi';

/** linux/prctl.h: the signal that a process gets when its parent has ended. */
const PR_SET_PDEATHSIG = 1;
const SIGKILL = 9;

/**
 * Has the kernel kill this process as soon as its parent has ended, whatever either of them is doing: native code that
 * hangs, and a process that is stopped, do not hear that a channel was closed. Linux only; elsewhere nothing happens.
 *
 * @returns whether the kernel will do so.
 */
export function endWithParent(): boolean {
  if (process.platform !== 'linux') return false;
  try {
    const prctl = koffi.load(null).func('int prctl(int option, unsigned long signal)');
    return prctl(PR_SET_PDEATHSIG, SIGKILL) === 0;
  } catch {
    // A C library without it: what hears the channel still leaves.
    return false;
  }
}
