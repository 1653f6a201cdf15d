import { accessSync, constants, renameSync, rmSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { type Bindings, bindLibraries, checkLayout, type Pointer } from './bindings.js';
import { FILE_TYPES, isFileType } from './file-types.js';
import { type Device, findLibraries, type Libraries, withTrailingSeparator } from './libraries.js';
import { checkSize, MAX_THREADS } from './limits.js';
import { LlamaError } from './llama-error.js';
import { type LlamaModel, type LoadModelOptions, openModel } from './model.js';
import { type LogListener, type NativeLog, routeNativeLog } from './native-log.js';
import { createThreadPool, type ThreadPool, type ThreadPoolOptions } from './thread-pool.js';

export interface LoadLlamaOptions {
  device?: Device;
  /** Hears what llama.cpp logs, line by line; it is chatty at level info. */
  onLog?: LogListener;
}

export interface QuantizeOptions {
  /** A file type of llama.cpp, e.g. `Q8_0`, `Q4_K_M`, `F16`. */
  type: string;
  threads: number;
}

export interface LlamaDevice {
  name: string;
  description: string;
  type: 'cpu' | 'gpu' | 'integrated-gpu' | 'accelerator' | 'meta';
  /** Bytes. */
  memoryFree: number;
  memoryTotal: number;
}

/** llama.cpp in this process. */
export interface Llama {
  /** E.g. `0.5.0-dev`. */
  readonly version: string;
  /** npm package that the libraries are from, e.g. `@node-llama-cpp/linux-x64`. */
  readonly package: string;
  readonly librariesDir: string;
  /** Path of the library that has ggml's tensor functions, for native code that calls them. */
  readonly ggmlBaseLibrary: string;
  /** Instruction set that the CPU backend was built for, e.g. `zen4`; `generic` where there is one build for all. */
  readonly cpuBackend: string;
  devices(): LlamaDevice[];
  /** Blocks while the file is read. @throws LlamaError with the reason, for whatever is wrong with the file. */
  loadModel(path: string, options?: LoadModelOptions): LlamaModel;
  /**
   * Re-encodes the weights of a model file. Blocks until done; `target` is whole or not there.
   * @throws LlamaError for an unknown type, an unreadable source, or a type that needs an importance matrix.
   */
  quantize(source: string, target: string, options: QuantizeOptions): void;
  createThreadPool(threads: number, options?: ThreadPoolOptions): ThreadPool;
}

/** `enum ggml_backend_dev_type`. */
const DEVICE_TYPES = ['cpu', 'gpu', 'integrated-gpu', 'accelerator', 'meta'] as const;
const GPU_TYPES = new Set([1, 2]);

/** Libraries cannot be unloaded and keep global state: one build of them serves the whole process. */
let chosenPackage: string | undefined;
let loaded: Llama | undefined;

/**
 * Loads llama.cpp's libraries for a device, once; later calls return the same object and their `onLog` is not used.
 * @throws LlamaError when there are none for this machine, or another device's have been loaded before.
 */
export function loadLlama({ device = 'auto', onLog = () => {} }: LoadLlamaOptions = {}): Llama {
  const files = findLibraries(device);
  chosenPackage ??= files.package;
  if (chosenPackage !== files.package) {
    throw new LlamaError(
      `${chosenPackage} is loaded in this process, device '${device}' needs ${files.package}`,
      'Choose one device for all models, or run a second server for the other.',
    );
  }
  loaded ??= open(files, device, onLog);
  return loaded;
}

function open(files: Libraries, device: Device, onLog: LogListener): Llama {
  const bindings = bindLibraries(files);
  checkLayout(bindings);
  let cpuBackend: string | undefined;
  const log = routeNativeLog(bindings, (level, message) => {
    cpuBackend ??= cpuBackendName(message);
    onLog(level, message);
  });

  bindings.ggml_backend_load_all_from_path(withTrailingSeparator(files.directory));
  const gpu = device !== 'auto' && device !== 'cpu';
  if (gpu && !hasGpu(bindings) && files.fallbackBackends !== undefined) {
    bindings.ggml_backend_load_all_from_path(withTrailingSeparator(files.fallbackBackends));
  }
  if (gpu && !hasGpu(bindings)) {
    const reason = log.reason();
    throw new LlamaError(
      `no ${device} device was found${reason === '' ? '' : `: ${reason}`}`,
      `Check the GPU's driver and run-time libraries, or choose --device cpu.`,
    );
  }
  const cpu = bindings.ggml_backend_reg_by_name('CPU');
  if (cpu === null) {
    throw new LlamaError(`no CPU backend in ${files.directory} runs on this processor`, 'x64 processors need SSE 4.2.');
  }

  return {
    version: bindings.llama_version(),
    package: files.package,
    librariesDir: files.directory,
    ggmlBaseLibrary: files.ggmlBase,
    cpuBackend: cpuBackend ?? 'generic',
    devices: () => devicePointers(bindings).map((pointer) => describeDevice(bindings, pointer)),
    loadModel(path, options = {}) {
      checkReadable(path);
      return openModel({ bindings, log, gpu }, path, options);
    },
    quantize(source, target, options) {
      checkReadable(source);
      quantize(bindings, log, source, target, options);
    },
    createThreadPool: (threads, options) => createThreadPool(bindings, cpu, threads, options),
  };
}

/** ggml picks the best of its CPU libraries and only says which in its log: `loaded CPU backend from …-zen4.so`. */
function cpuBackendName(message: string): string | undefined {
  const library = /loaded CPU backend from (.+)$/.exec(message)?.[1];
  return library === undefined ? undefined : /ggml-cpu-([\w.]+)\.(?:so|dylib|dll)$/.exec(basename(library))?.[1];
}

function devicePointers(bindings: Bindings): Pointer[] {
  const count = Number(bindings.ggml_backend_dev_count());
  return Array.from({ length: count }, (_, index) => bindings.ggml_backend_dev_get(index));
}

function hasGpu(bindings: Bindings): boolean {
  return devicePointers(bindings).some((pointer) => GPU_TYPES.has(bindings.ggml_backend_dev_type(pointer)));
}

function describeDevice(bindings: Bindings, pointer: Pointer): LlamaDevice {
  const free = new BigUint64Array(1);
  const total = new BigUint64Array(1);
  bindings.ggml_backend_dev_memory(pointer, free, total);
  return {
    name: bindings.ggml_backend_dev_name(pointer),
    description: bindings.ggml_backend_dev_description(pointer),
    type: DEVICE_TYPES[bindings.ggml_backend_dev_type(pointer)] ?? 'accelerator',
    memoryFree: Number(free[0]),
    memoryTotal: Number(total[0]),
  };
}

/** llama.cpp's own message for a file that is not there does not say so. */
function checkReadable(path: string): void {
  try {
    accessSync(path, constants.R_OK);
  } catch (error) {
    throw new LlamaError(`cannot read ${path}: ${(error as Error).message}`, 'Check the path and its permissions.');
  }
  if (!statSync(path).isFile()) throw new LlamaError(`${path} is not a file`, 'Name a GGUF file.');
}

function quantize(bindings: Bindings, log: NativeLog, source: string, target: string, options: QuantizeOptions): void {
  const { type, threads } = options;
  if (!isFileType(type)) {
    throw new LlamaError(`unknown weight type ${type}`, `Choose one of: ${Object.keys(FILE_TYPES).join(', ')}.`);
  }
  checkSize('threads', threads, MAX_THREADS);
  log.beginCall();
  const unfinished = `${target}.${process.pid}.part`;
  const code = bindings.llama_model_quantize(source, unfinished, {
    ...bindings.llama_model_quantize_default_params(),
    nthread: threads,
    ftype: FILE_TYPES[type],
    allow_requantize: true,
  });
  if (code !== 0) {
    rmSync(unfinished, { force: true });
    throw new LlamaError(`cannot re-encode ${source} as ${type}: ${log.reason() || 'no reason given'}`);
  }
  renameSync(unfinished, target);
}
