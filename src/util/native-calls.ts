// Loading koffi, through which the few system calls that Node lacks are made.
//
// koffi's own entry point costs 8 to 18 ms of CPU; its prebuilt addon, opened directly, 1 ms. That matters because short-lived processes (one
// client each) load it too. The entry point stays as the second try, for platforms whose package is laid out differently.
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** A C function. Pointers are given as Buffer (the call may write into it), bigint address, or null. */
export interface NativeFunction {
  (...values: readonly (number | bigint | string | Buffer | null)[]): number;
  /** In the thread pool. The last value is called with what came of it; errno is lost. */
  async(...values: readonly (number | bigint | null | ((error: Error | null, result: number) => void))[]): void;
}

export interface NativeType {
  readonly size: number;
}

/** The part of koffi that we use. */
export interface NativeLibraries {
  /** `null` is the process itself: everything in the C library. */
  load(path: string | null): { func(name: string, result: string, parameters: readonly (string | NativeType)[]): NativeFunction };
  /** The type of a function, from its declaration in C; `pointer` makes one of it that `register` takes. */
  proto(declaration: string): NativeType;
  pointer(type: NativeType): NativeType;
  /** Address of a C function that calls `call`, in the same turn, for as long as the process lives. It must not throw. */
  register(call: (...values: unknown[]) => unknown, type: NativeType): bigint;
  /** Address of a Buffer's memory, which must stay referenced and must not be resized. */
  address(memory: Buffer): bigint;
  /** The C library's errno after the last call. */
  errno(): number;
  readonly node: {
    /** Calls back in each turn of libuv's loop in which the descriptor is ready, outside of all that Node does around a callback (ticks, errors). */
    poll(fd: number, events: { readonly readable: boolean }, call: () => void): { ref(): void; unref(): void };
  };
}

function isNativeLibraries(value: unknown): value is NativeLibraries {
  return typeof value === 'object' && value !== null && 'load' in value && 'address' in value && 'errno' in value;
}

function openAddon(require: NodeJS.Require): NativeLibraries | undefined {
  const name = `@koromix/koffi-${process.platform}-${process.arch}`;
  let folder: string;
  try {
    folder = dirname(require.resolve(`${name}/package.json`));
  } catch {
    return undefined;
  }
  for (const libc of [process.platform, 'musl']) {
    const addon: { exports: unknown } = { exports: {} };
    try {
      process.dlopen(addon, join(folder, `${libc}_${process.arch}`, 'koffi.node'));
    } catch {
      continue;
    }
    if (isNativeLibraries(addon.exports)) return addon.exports;
  }
  return undefined;
}

function open(): NativeLibraries | undefined {
  const require = createRequire(import.meta.url);
  const direct = openAddon(require);
  if (direct !== undefined) return direct;
  try {
    const whole: unknown = require('koffi');
    return isNativeLibraries(whole) ? whole : undefined;
  } catch {
    return undefined;
  }
}

let isOpen = false;
let opened: NativeLibraries | undefined;

/** Koffi, opened at the first call; undefined where it cannot be loaded (other platform, addons not allowed). */
export function openNativeLibraries(): NativeLibraries | undefined {
  if (!isOpen) opened = open();
  isOpen = true;
  return opened;
}
