import { describe, expect, it } from 'vitest';
import { engineFaultsOf, messageFaultsOf, readFaults } from '../../src/faults/active.js';
import { createEngineFaults } from '../../src/faults/engine-faults.js';
import { createFileFaults } from '../../src/faults/file-faults.js';
import { type EngineFault, FaultSpecError, parseFaults } from '../../src/faults/spec.js';

const ALWAYS = { first: 1, last: Number.POSITIVE_INFINITY };
const FIRST = { first: 1, last: 1 };

describe('QUIRE_FAULTS', () => {
  it('names faults, each with what it needs', () => {
    expect(parseFaults('kill@step=40; slow@step=10..20,ms=500 ;hang@token=7;')).toEqual([
      { kind: 'kill', steps: { first: 40, last: 40 }, ms: 0, engines: FIRST },
      { kind: 'slow', steps: { first: 10, last: 20 }, ms: 500, engines: FIRST },
      { kind: 'hang', token: 7, ms: 0, engines: ALWAYS },
    ]);
    expect(parseFaults('exhaust-pages@step=30,steps=5,every;fail-decode@step=7..,engine=2')).toEqual([
      { kind: 'exhaust-pages', steps: { first: 30, last: 34 }, ms: 0, engines: ALWAYS },
      { kind: 'fail-decode', steps: { ...ALWAYS, first: 7 }, ms: 0, engines: { first: 2, last: 2 } },
    ]);
    expect(parseFaults('drop@message=step,n=3;delay@message=add,ms=20,engine=2..3')).toEqual([
      { kind: 'drop', message: 'step', n: { first: 3, last: 3 }, ms: 0, engines: FIRST },
      { kind: 'delay', message: 'add', n: FIRST, ms: 20, engines: { first: 2, last: 3 } },
    ]);
    expect(parseFaults('disk-full@write=download,bytes=10;break-download@bytes=5,times=2')).toEqual([
      { kind: 'disk-full', write: 'download', bytes: 10 },
      { kind: 'break-download', bytes: 5, times: 2 },
    ]);
  });

  it.each([
    ['explode@step=1', "there is no fault 'explode'; there are kill, abort"],
    ['kill', 'it needs step=N, step=A..B or token=ID'],
    ['kill@step=x', "step is a whole number, not 'x'"],
    ['kill@step=5..3', 'step=5..3 ends before it begins'],
    ['kill@step=1..3,steps=2', 'exclude each other'],
    ['kill@step=1,step=2', 'step is given twice'],
    ['kill@step=1,ms=5', "'ms' means nothing here"],
    ['kill@step=1,every=2', 'every takes no value'],
    ['slow@step=1', 'it needs ms='],
    ['exhaust-pages@token=1', 'goes by step only'],
    ['drop@message=output', 'message is one of start, add, embed'],
    ['disk-full@write=log', "write is one of download, requantize, compile, not 'log'"],
    ['kill@step=1;break-download@', 'it needs bytes='],
  ])('says what is wrong with %s', (text, problem) => {
    expect(() => parseFaults(text)).toThrow(FaultSpecError);
    expect(() => parseFaults(text)).toThrow(problem);
    expect(() => parseFaults(text)).toThrow(`in '${text.split(';').at(-1)}'`);
  });

  it('is refused in production, and where it is not allowed in so many words', () => {
    const set = { QUIRE_FAULTS: 'kill@step=1' };
    expect(() => readFaults(set)).toThrow('without QUIRE_ALLOW_FAULTS=1');
    expect(() => readFaults({ ...set, QUIRE_ALLOW_FAULTS: '1', NODE_ENV: 'production' })).toThrow('production');
    expect(readFaults({ ...set, QUIRE_ALLOW_FAULTS: '1' })).toMatchObject({ text: 'kill@step=1' });
    expect(readFaults({ QUIRE_FAULTS: ' ', NODE_ENV: 'production' })).toBeUndefined();
    expect(readFaults({})).toBeUndefined();
  });

  it('strikes the engines it names', () => {
    const text = 'kill@step=1;abort@step=1,engine=2;hang@step=1,every;drop@message=add;drop@message=step,engine=2..';
    const faults = readFaults({ QUIRE_FAULTS: text, QUIRE_ALLOW_FAULTS: '1' })!;
    const kinds = (engine: number) => engineFaultsOf(faults, engine).map(({ kind }) => kind);
    expect([1, 2, 3].map(kinds)).toEqual([['kill', 'hang'], ['abort', 'hang'], ['hang']]);
    const messages = (engine: number) => messageFaultsOf(faults, engine).map(({ message }) => message);
    expect([1, 2, 3].map(messages)).toEqual([['add'], ['step'], ['step']]);
  });
});

describe('faults of an engine', () => {
  const prompts = [Int32Array.of(1, 2), Int32Array.of(3)];

  it('strike in their steps', () => {
    const struck: string[] = [];
    const spec = 'kill@step=2;slow@step=2..3,ms=1;exhaust-pages@step=3,steps=2';
    const faults = createEngineFaults(parseFaults(spec) as EngineFault[], ({ kind }, step) =>
      struck.push(`${kind} ${step}`),
    );
    const exhausted = [1, 2, 3, 4, 5].map(() => {
      const isExhausted = faults.beginStep();
      faults.beforeDecode(prompts);
      return isExhausted;
    });
    expect(struck).toEqual(['kill 2', 'slow 2', 'slow 3']);
    expect(exhausted).toEqual([false, false, true, true, false]);
  });

  it('strike with the prompts that they name', () => {
    const struck: number[] = [];
    const spec = 'kill@token=3;abort@token=3,step=2;hang@token=4';
    const faults = createEngineFaults(parseFaults(spec) as EngineFault[], (_, step) => struck.push(step));
    for (const batch of [prompts, prompts, prompts.slice(0, 1)]) {
      faults.beginStep();
      faults.beforeDecode(batch);
    }
    expect(struck).toEqual([1, 2, 2]);
  });
});

describe('faults of files', () => {
  it('let so many bytes be written', () => {
    const { write } = createFileFaults(parseFaults('disk-full@write=download,bytes=10'));
    write('download', 10);
    write('compile', 1000);
    expect(() => write('download', 11)).toThrow(expect.objectContaining({ code: 'ENOSPC' }));
  });

  it('break and change downloads at a byte, so many times', () => {
    const { download } = createFileFaults(parseFaults('break-download@bytes=12,times=2;corrupt-download@bytes=5'));
    const chunk = new Uint8Array(10);
    expect(download(chunk, 0)).toBeUndefined();
    expect([...chunk].indexOf(1)).toBe(5);
    expect([download(chunk, 10), download(chunk, 10), download(chunk, 10)]).toEqual([2, 2, undefined]);
  });
});
