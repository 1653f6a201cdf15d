import { activeFaults } from './active.js';
import type { DownloadFault, Fault, WriteFault } from './spec.js';

/** What goes wrong with files that are written and downloaded. */
export interface FileFaults {
  /** @throws Error with code ENOSPC if the file may not have so many bytes */
  write(what: WriteFault['write'], bytes: number): void;
  /**
   * Bytes [offset, offset + chunk.length) of a download have come.
   * @returns how many of them do before the connection breaks; all, if undefined. What is to be changed is changed in place.
   */
  download(chunk: Uint8Array, offset: number): number | undefined;
}

let files: FileFaults | undefined;

/** Undefined unless QUIRE_FAULTS is set. */
export function fileFaults(): FileFaults | undefined {
  const active = activeFaults();
  if (active !== undefined) files ??= createFileFaults(active.all);
  return files;
}

export function createFileFaults(faults: readonly Fault[]): FileFaults {
  const struck = new Map<DownloadFault, number>();

  return {
    write(what, bytes) {
      if (faults.some((fault) => fault.kind === 'disk-full' && fault.write === what && bytes > fault.bytes)) {
        throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
      }
    },

    download(chunk, offset) {
      for (const fault of faults) {
        if (fault.kind !== 'break-download' && fault.kind !== 'corrupt-download') continue;
        const at = fault.bytes - offset;
        const times = struck.get(fault) ?? 0;
        if (at < 0 || at >= chunk.length || times >= fault.times) continue;
        struck.set(fault, times + 1);
        if (fault.kind === 'break-download') return at;
        chunk[at]! ^= 1;
      }
      return undefined;
    },
  };
}
