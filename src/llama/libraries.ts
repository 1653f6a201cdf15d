import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, sep } from 'node:path';
import { LlamaError } from './llama-error.js';

/** What computes the matmuls; `auto` is `cpu`, where the paged KV cache lives. */
export type Device = 'auto' | 'cpu' | 'cuda' | 'vulkan' | 'metal';

/** The llama.cpp build of one of node-llama-cpp's platform packages. */
export interface Libraries {
  /** npm package the files belong to, e.g. `@node-llama-cpp/linux-x64`. */
  package: string;
  directory: string;
  ggmlBase: string;
  ggml: string;
  llama: string;
  /** Folder with builds of the device's backend for older drivers, where the platform has one. */
  fallbackBackends?: string;
}

/** Package names by `<platform>-<arch>` and device. A Metal build computes on the CPU as well. */
const PACKAGES: Record<string, Partial<Record<Exclude<Device, 'auto'>, string>>> = {
  'linux-x64': { cpu: 'linux-x64', cuda: 'linux-x64-cuda', vulkan: 'linux-x64-vulkan' },
  'linux-arm64': { cpu: 'linux-arm64' },
  'linux-arm': { cpu: 'linux-armv7l' },
  'linux-riscv64': { cpu: 'linux-riscv64' },
  'darwin-arm64': { cpu: 'mac-arm64-metal', metal: 'mac-arm64-metal' },
  'darwin-x64': { cpu: 'mac-x64' },
  'win32-x64': { cpu: 'win-x64', cuda: 'win-x64-cuda', vulkan: 'win-x64-vulkan' },
  'win32-arm64': { cpu: 'win-arm64' },
};

/**
 * Finds the libraries of `device` for this machine among the installed packages.
 * @throws LlamaError when there is no build for the platform, or its package is not installed.
 */
export function findLibraries(device: Device, platform = process.platform, arch = process.arch): Libraries {
  const wanted = device === 'auto' ? 'cpu' : device;
  const builds = PACKAGES[`${platform}-${arch}`];
  if (builds === undefined) {
    const known = Object.keys(PACKAGES).join(', ');
    throw new LlamaError(`there is no llama.cpp build for ${platform}-${arch}`, `Builds exist for ${known}.`);
  }
  const name = builds[wanted];
  if (name === undefined) {
    const offered = Object.keys(builds).join(', ');
    throw new LlamaError(
      `device '${device}' does not exist on ${platform}-${arch}`,
      `Choose one of: auto, ${offered} (--device).`,
    );
  }
  const directory = packageBinaries(name);
  if (directory === undefined) throw new LlamaError(`@node-llama-cpp/${name} is not installed`, installHint(name));
  const fallback = packageBinaries(`${name}-ext`);
  const fallbackBackends = fallback === undefined ? undefined : join(fallback, 'fallback');
  return {
    package: `@node-llama-cpp/${name}`,
    directory,
    ggmlBase: libraryFile(directory, 'ggml-base'),
    ggml: libraryFile(directory, 'ggml'),
    llama: libraryFile(directory, 'llama'),
    ...(fallbackBackends !== undefined && existsSync(fallbackBackends) ? { fallbackBackends } : {}),
  };
}

/** Folder of a platform package's binaries, or undefined if the package is not installed. */
function packageBinaries(name: string): string | undefined {
  // Platform packages are dependencies of node-llama-cpp: strict package managers show them to nobody else.
  const ours = createRequire(import.meta.url);
  try {
    const entry = createRequire(ours.resolve('node-llama-cpp')).resolve(`@node-llama-cpp/${name}`);
    const binaries = join(dirname(entry), '..', 'bins', name.replace(/-ext$/, ''));
    return existsSync(binaries) ? binaries : undefined;
  } catch {
    return undefined;
  }
}

/** File names carry the device and version on some platforms: libllama.cuda.v0.5.0.so, llama.dll, libllama.dylib. */
function libraryFile(directory: string, library: string): string {
  const pattern = new RegExp(`^(lib)?${library}(\\.[\\w.]+)?\\.(so|dylib|dll)$`);
  const file = readdirSync(directory).find((entry) => pattern.test(entry));
  if (file === undefined) {
    throw new LlamaError(
      `no ${library} library in ${directory}`,
      'The package is damaged: remove node_modules, reinstall.',
    );
  }
  return join(directory, file);
}

function installHint(name: string): string {
  const libc = name.startsWith('linux-')
    ? ' The Linux builds need glibc 2.34 or newer: on Alpine (musl), use a Debian- or Ubuntu-based image.'
    : '';
  return `Install it with: npm install @node-llama-cpp/${name} (npm skips it with --omit=optional).${libc}`;
}

/** The form `ggml_backend_load_all_from_path` wants on every platform. */
export function withTrailingSeparator(directory: string): string {
  return directory.endsWith(sep) ? directory : directory + sep;
}
