// File system calls of this process that take their time: each asynchronous call is held back for a random number of turns of the event loop, before it
// is made and before its result is told, so that what runs at once is interleaved in ever new ways.
import { createRequire, syncBuiltinESMExports } from 'node:module';

const require = createRequire(import.meta.url);

type AnyFunction = (...parameters: unknown[]) => unknown;

const withCallback = ['open', 'read', 'readdir', 'stat', 'fstat', 'fsync', 'fdatasync', 'write', 'writev', 'close'];
const promised = ['open', 'readFile', 'writeFile', 'stat', 'rename', 'unlink', 'mkdir', 'link', 'copyFile', 'utimes', 'readdir'];

/** Installed once for the life of a process. @param turns how many turns a call waits now */
export function installSlowFiles(turns: () => number): void {
  const fs = require('node:fs') as Record<string, AnyFunction> & { readonly promises: Record<string, AnyFunction> };
  for (const name of withCallback) {
    const original = fs[name];
    if (original === undefined) continue;
    fs[name] = (...parameters) => {
      const callback = parameters.at(-1);
      if (typeof callback !== 'function') return original(...parameters);
      const told = (...results: unknown[]): void => later(turns(), () => Reflect.apply(callback, undefined, results));
      later(turns(), () => original(...parameters.slice(0, -1), told));
      return undefined;
    };
    // util.promisify(fs.read) answers with an object.
    for (const key of Object.getOwnPropertySymbols(original)) {
      Object.defineProperty(fs[name], key, { value: Reflect.get(original, key) });
    }
  }
  for (const name of promised) {
    const original = fs.promises[name];
    if (original === undefined) continue;
    fs.promises[name] = async (...parameters) => {
      await new Promise<void>((resolve) => later(turns(), resolve));
      const result = await original(...parameters);
      await new Promise<void>((resolve) => later(turns(), resolve));
      return result;
    };
  }
  syncBuiltinESMExports();
}

function later(turns: number, work: () => void): void {
  if (turns <= 0) work();
  else setImmediate(() => later(turns - 1, work));
}
