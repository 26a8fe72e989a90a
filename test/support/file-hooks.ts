// Moments between two file system calls at which a test lets something happen, as another process might.
import { createRequire, syncBuiltinESMExports } from 'node:module';

const require = createRequire(import.meta.url);

type Listed = (error: Error | null, names?: string[]) => void;
type AnyFunction = (...parameters: unknown[]) => unknown;

/** @returns the names the reader gets */
export type ListingHook = (path: string, names: string[]) => string[];

let listingHook: ListingHook | undefined;
let writeHook: (() => void) | undefined;
let isInstalled = false;

/** Calls `work` after each listing of a folder, before its reader gets it; undefined ends it. */
export function onListing(work: ListingHook | undefined): void {
  listingHook = work;
  install();
}

/** Calls `work` before each synchronous write to an open file, but not for writes of its own; undefined ends it. */
export function onWrite(work: (() => void) | undefined): void {
  writeHook = work;
  install();
}

function install(): void {
  if (isInstalled) return;
  isInstalled = true;
  const fs = require('node:fs') as Record<string, AnyFunction>;
  const readdir = fs['readdir'] as AnyFunction;
  fs['readdir'] = (path, options, listed) =>
    readdir(path, options, (error: Error | null, names?: string[]) => {
      const hooked = error === null && names !== undefined && listingHook !== undefined ? listingHook(String(path), names) : names;
      (listed as Listed)(error, hooked);
    });
  for (const name of ['writeSync', 'writevSync']) {
    const original = fs[name] as AnyFunction;
    fs[name] = (...parameters) => {
      const hook = writeHook;
      writeHook = undefined;
      hook?.();
      writeHook = hook;
      return original(...parameters);
    };
  }
  syncBuiltinESMExports();
}
