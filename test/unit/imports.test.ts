import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

/**
 * What a room (a folder of src/) may import besides itself: rooms downstream of it, and packages where only some rooms may have
 * them. Type imports count like any other: they couple rooms just the same.
 */
const ROOMS: Record<string, readonly string[]> = {
  cli: ['api', 'serving', 'engine', 'attention', 'llama', 'telemetry', 'faults'],
  api: ['serving', 'telemetry'],
  serving: ['engine', 'grammar', 'llama', 'telemetry', 'faults'],
  engine: ['scheduler', 'kvcache', 'attention', 'selection', 'grammar', 'llama', 'telemetry', 'faults'],
  scheduler: ['kvcache'],
  kvcache: [],
  attention: ['faults'],
  selection: [],
  grammar: [],
  llama: [],
  telemetry: [],
  faults: [],
};

/** Rooms that are pure computation: no packages, and only the built-ins that do no I/O. */
const PURE = ['scheduler', 'kvcache'];
const PURE_BUILTINS = ['node:assert', 'node:buffer', 'node:crypto', 'node:util'];

/** Packages that belong to the rooms named here; all others are free for rooms that are not pure. */
const PACKAGE_OWNERS: Record<string, readonly string[]> = {
  koffi: ['attention', 'selection', 'llama'],
  '@mlc-ai/web-xgrammar': ['grammar'],
  commander: ['cli'],
};

/** Files directly in src/ that anyone who is not pure may import. */
const LEAVES = ['cache-dir.js', 'end-with-parent.js'];

/** Both ends of the wire import it, and the gateway must not load the engine for it. */
const WIRE_PROTOCOL = ['engine/protocol.js', 'engine/wire.js'];

interface Import {
  line: number;
  specifier: string;
}

/** Static, re-exporting, type and dynamic imports with a literal specifier. */
function importsOf(source: string): Import[] {
  const pattern = /(?:^|[\s;}])(?:from|import)\s*\(?\s*(['"])(?<specifier>[^'"\n]+)\1/g;
  return [...source.matchAll(pattern)].map((match) => ({
    line: source.slice(0, match.index + match[0].length).split('\n').length,
    specifier: match.groups?.specifier ?? '',
  }));
}

/** @param path relative to src/, with forward slashes */
function violations(path: string, source: string): string[] {
  const room = roomOf(path);
  // Files directly in src/ are the package's door (index.ts) and leaves that anyone may use.
  if (room === undefined) return [];
  return importsOf(source).flatMap(({ line, specifier }) => {
    const problem = specifier.startsWith('.')
      ? localProblem(room, join(dirname(path), specifier))
      : packageProblem(room, specifier);
    return problem === undefined ? [] : [`src/${path}:${line}: '${specifier}': ${problem}`];
  });
}

function localProblem(room: string, target: string): string | undefined {
  if (target.startsWith('..')) return 'outside of src/';
  const targetRoom = roomOf(target);
  if (targetRoom === room) return undefined;
  if (targetRoom === undefined) {
    if (!LEAVES.includes(target)) return `${room} may not import the package's door`;
    return PURE.includes(room) ? `${room} imports nothing outside itself` : undefined;
  }
  if (!ROOMS[room]?.includes(targetRoom)) return `${room} may not import ${targetRoom}`;
  return target.endsWith('/index.js') || WIRE_PROTOCOL.includes(target)
    ? undefined
    : `${targetRoom} has a door: index.js`;
}

function packageProblem(room: string, specifier: string): string | undefined {
  if (PURE.includes(room)) {
    return PURE_BUILTINS.includes(specifier) ? undefined : `${room} may only use ${PURE_BUILTINS.join(', ')}`;
  }
  const owners = PACKAGE_OWNERS[specifier];
  return owners === undefined || owners.includes(room) ? undefined : `${specifier} belongs to ${owners.join(' and ')}`;
}

function roomOf(path: string): string | undefined {
  const [first, ...rest] = path.split('/');
  return rest.length === 0 ? undefined : first;
}

const sourceRoot = fileURLToPath(new URL('../../src/', import.meta.url));

function sourceFiles(): string[] {
  return readdirSync(sourceRoot, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => relative(sourceRoot, join(entry.parentPath, entry.name)).replaceAll('\\', '/'));
}

describe('the rooms of src/', () => {
  it('import one way only', () => {
    expect(sourceFiles().flatMap((path) => violations(path, readFileSync(join(sourceRoot, path), 'utf8')))).toEqual([]);
  });

  it('are all known to this check', () => {
    const rooms = new Set(sourceFiles().map(roomOf));
    rooms.delete(undefined);
    expect([...rooms].filter((room) => !(room! in ROOMS))).toEqual([]);
  });
});

describe('the check of import directions', () => {
  it('names the line of an import against the stream, however it is written', () => {
    expect(
      violations('api/app.ts', "import { a } from './b.js';\nimport {\n  c,\n} from '../engine/main.js';\n"),
    ).toEqual(["src/api/app.ts:4: '../engine/main.js': api may not import engine"]);
    expect(violations('kvcache/a.ts', "export type { B } from '../scheduler/index.js';")).toHaveLength(1);
    expect(violations('llama/a.ts', "const x = await import('../../bench/main.js');")).toHaveLength(1);
    expect(violations('serving/text/a.ts', "import '../../api/app.js';")).toHaveLength(1);
    expect(violations('engine/a.ts', "import { LLM } from '../index.js';")).toHaveLength(1);
    expect(violations('api/a.ts', "type E = import('../engine/protocol.js').EngineInfo;")).toHaveLength(1);
  });

  it('lets rooms be entered by their doors only', () => {
    expect(violations('api/a.ts', "import { b } from '../serving/generation.js';")).toHaveLength(1);
    expect(violations('cli/a.ts', "import { b } from '../serving/models/index.js';")).toEqual([]);
    expect(violations('serving/a.ts', "import type { B } from '../engine/protocol.js';")).toEqual([]);
  });

  it('allows imports with the stream, within a room, and of the cache folder', () => {
    expect(violations('api/openai/a.ts', "import type { Serving } from '../../serving/index.js';")).toEqual([]);
    expect(violations('serving/text/a.ts', "import { b } from '../deployments/b.js';")).toEqual([]);
    expect(violations('attention/a.ts', "import { cacheDir } from '../cache-dir.js';")).toEqual([]);
    expect(violations('index.ts', "export { LLM } from './serving/llm.js';")).toEqual([]);
  });

  it('keeps packages out of pure rooms and native calls in their rooms', () => {
    expect(violations('kvcache/a.ts', "import { readFileSync } from 'node:fs';")).toHaveLength(1);
    expect(violations('scheduler/a.ts', "import { LRUCache } from 'lru-cache';")).toHaveLength(1);
    expect(violations('scheduler/a.ts', "import { cacheDir } from '../cache-dir.js';")).toHaveLength(1);
    expect(violations('kvcache/a.ts', "import { createHash } from 'node:crypto';")).toEqual([]);
    expect(violations('engine/a.ts', "import koffi from 'koffi';")).toHaveLength(1);
    expect(violations('llama/a.ts', "import koffi from 'koffi';")).toEqual([]);
  });
});
