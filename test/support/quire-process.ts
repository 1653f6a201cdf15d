import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const repositoryRoot = fileURLToPath(new URL('../../', import.meta.url));

export interface QuireProcess {
  readonly child: ChildProcess;
  stdout(): string;
  stderr(): string;
  /** Resolves with the first match in standard output or error; rejects when the process ends without one. */
  seen(pattern: RegExp): Promise<RegExpMatchArray>;
  /** Resolves when the process has ended and all its output is read. */
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  /** The ids of the process and of everything it started, directly or not. */
  tree(): number[];
  /** The engine process of a server, while there is one. */
  enginePid(): number | undefined;
  /** Kills what is left of the tree. */
  kill(): void;
}

/** Runs `quire` as users do: `bin/quire.js` itself, or whatever `command` says, from the repository's root. */
export function startQuire(
  args: readonly string[],
  options: {
    command?: readonly string[];
    input?: string;
    env?: NodeJS.ProcessEnv;
    detached?: boolean;
    fds?: readonly number[];
  } = {},
): QuireProcess {
  const [command, ...first] = options.command ?? [process.execPath, 'bin/quire.js'];
  const child = spawn(command!, [...first, ...args], {
    cwd: repositoryRoot,
    env: { ...process.env, ...options.env },
    detached: options.detached ?? false,
    stdio: ['pipe', 'pipe', 'pipe', ...(options.fds ?? [])],
  });
  child.stdin!.end(options.input ?? '');
  const output = { stdout: '', stderr: '' };
  child.stdout!.setEncoding('utf8').on('data', (text) => (output.stdout += text));
  child.stderr!.setEncoding('utf8').on('data', (text) => (output.stderr += text));
  const ended = once(child, 'close').then(([code, signal]) => ({ code, signal }));
  // Remembered, because a dead parent's children can no longer be found through it.
  const known = new Set<number>([child.pid!]);

  function tree(): number[] {
    for (const pid of descendants(child.pid!)) known.add(pid);
    return [...known].filter(isAlive);
  }

  return {
    child,
    stdout: () => output.stdout,
    stderr: () => output.stderr,
    ended,
    tree,
    enginePid: () => tree().find((pid) => pid !== child.pid && commandOf(pid).includes('engine/main.js')),
    kill() {
      for (const pid of tree()) process.kill(pid, 'SIGKILL');
    },
    async seen(pattern) {
      const over = ended.then(() => true);
      for (;;) {
        const match = output.stdout.match(pattern) ?? output.stderr.match(pattern);
        if (match) return match;
        const news = new AbortController();
        const { signal } = news;
        const more = [child.stdout!, child.stderr!].map((stream) => once(stream, 'data', { signal }).catch(() => {}));
        const finished = await Promise.race([over, ...more]);
        news.abort();
        if (finished === true && !pattern.test(output.stdout + output.stderr)) {
          throw new Error(`${pattern} never appeared in:\n${output.stdout}\n${output.stderr}`);
        }
      }
    },
  };
}

/** Whether a process exists and is not a zombie that merely waits for its parent to read its exit code. */
export function isAlive(pid: number): boolean {
  return processTable().some((entry) => entry.pid === pid);
}

/** '' when it has ended. */
function commandOf(pid: number): string {
  try {
    if (process.platform === 'linux') return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
    return execFileSync('ps', ['-p', String(pid), '-o', 'command='], { encoding: 'utf8' });
  } catch {
    return '';
  }
}

function descendants(root: number): number[] {
  const table = processTable();
  const found = [root];
  for (const pid of found) {
    found.push(...table.filter((entry) => entry.parent === pid).map((entry) => entry.pid));
  }
  return found;
}

function processTable(): { pid: number; parent: number }[] {
  const rows =
    process.platform === 'linux'
      ? readdirSync('/proc').flatMap((name) => (/^\d+$/.test(name) ? linuxRow(name) : []))
      : execFileSync('ps', ['-A', '-o', 'pid=,stat=,ppid='], { encoding: 'utf8' })
          .trim()
          .split('\n')
          .map((line) => line.trim().split(/\s+/));
  return rows
    .filter(([, state]) => !state!.startsWith('Z'))
    .map(([pid, , parent]) => ({ pid: Number(pid), parent: Number(parent) }));
}

/** Process id, state and parent of a /proc entry; nothing when it ended meanwhile. Needs no `ps`, which containers lack. */
function linuxRow(pid: string): string[][] {
  try {
    // The program's name, in parentheses, may itself contain spaces and parentheses.
    const [state, parent] = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
    return [[pid, state!, parent!]];
  } catch {
    return [];
  }
}
