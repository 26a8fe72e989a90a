// Makes file system calls of this process fail on demand: the n-th call below a folder, once or from then on.
//
// The functions of node:fs are replaced and the exports of the built-in modules brought in line, so that code under test needs no seam.
import { createRequire, syncBuiltinESMExports } from 'node:module';
import type { UnnamedFiles } from '#util/unnamed-files.js';

const require = createRequire(import.meta.url);

export interface Fault {
  /** Counted from 1, among the calls that `errno` can happen to. */
  readonly at: number;
  /** How many calls in a row fail. */
  readonly times: number;
  readonly errno: 'EIO' | 'ENOSPC';
}

type AnyFunction = (...parameters: unknown[]) => unknown;

/** Calls that change something; those in the second list need no space. */
const needSpace = [
  'openSync',
  'writeSync',
  'writevSync',
  'writeFileSync',
  'mkdirSync',
  'linkSync',
  'renameSync',
  'open',
  'writev',
  'write',
];
const needNone = ['unlinkSync', 'fsync', 'fdatasync', 'fsyncSync', 'futimesSync', 'utimesSync', 'ftruncateSync', 'unlink'];
const promisedNeedSpace = ['open', 'writeFile', 'mkdir', 'link', 'rename', 'copyFile'];
const promisedNeedNone = ['unlink', 'rm', 'rmdir', 'utimes'];
const handleNeedSpace = ['write', 'writev', 'writeFile', 'appendFile'];
const handleNeedNone = ['sync', 'datasync', 'truncate'];

/** Opening for reading makes nothing. */
function isReading(name: string, parameters: readonly unknown[]): boolean {
  if (name !== 'open' && name !== 'openSync') return false;
  const flags = parameters[1];
  return flags === undefined || flags === 'r' || typeof flags === 'function';
}

/** Installed once for the life of a process; counts only between `arm` and `disarm`. */
export class FailingFiles {
  /** Calls counted since `arm`. */
  calls = 0;
  /** What failed. */
  failed: string[] = [];
  #fault: Fault | undefined;
  #isArmed = false;
  readonly #root: string;
  readonly #fds = new Set<number>();

  constructor(root: string) {
    this.#root = root;
  }

  arm(fault: Fault | undefined): void {
    this.calls = 0;
    this.failed = [];
    this.#fault = fault;
    this.#isArmed = true;
  }

  disarm(): void {
    this.#isArmed = false;
  }

  install(): void {
    const fs = require('node:fs') as Record<string, AnyFunction> & { readonly promises: Record<string, AnyFunction> };
    for (const name of [...needSpace, ...needNone]) this.#replace(fs, name, needSpace.includes(name), !name.endsWith('Sync'));
    for (const name of [...promisedNeedSpace, ...promisedNeedNone])
      this.#replacePromised(fs.promises, name, promisedNeedSpace.includes(name));
    syncBuiltinESMExports();
  }

  /** A call that is none of node:fs. @returns the error that it has to end with */
  check(name: string, fd: number): Error | undefined {
    return this.#next(name, [fd], false);
  }

  /** Files without a name, whose calls are none of node:fs. */
  unnamed(real: UnnamedFiles): UnnamedFiles {
    const check = (name: string, path: string | Buffer): void => {
      const error = this.#next(name, [path], true);
      if (error !== undefined) throw error;
    };
    return {
      open: (folder, mode) => {
        check('open', folder);
        const fd = real.open(folder, mode);
        this.#fds.add(fd);
        return fd;
      },
      openLater: async (folder, mode) => {
        check('open', folder);
        const fd = await real.openLater(folder, mode);
        this.#fds.add(fd);
        return fd;
      },
      link: (fd, path) => {
        check('link', path);
        real.link(fd, path);
      },
    };
  }

  /** @returns the error that this call has to end with */
  #next(name: string, parameters: readonly unknown[], takesSpace: boolean): Error | undefined {
    if (!this.#isArmed || isReading(name, parameters) || !this.#isOurs(parameters[0])) return undefined;
    const fault = this.#fault;
    if (fault?.errno === 'ENOSPC' && !takesSpace) return undefined;
    this.calls += 1;
    if (fault === undefined || this.calls < fault.at || this.calls >= fault.at + fault.times) return undefined;
    this.failed.push(`${name} ${typeof parameters[0] === 'number' ? 'fd' : String(parameters[0]).slice(this.#root.length)}`);
    const text = fault.errno === 'EIO' ? 'i/o error' : 'no space left on device';
    return Object.assign(new Error(`${fault.errno}: ${text}, ${name}`), { code: fault.errno, syscall: name });
  }

  #isOurs(target: unknown): boolean {
    if (typeof target === 'number') return this.#fds.has(target);
    return (typeof target === 'string' || Buffer.isBuffer(target)) && target.toString('latin1').startsWith(this.#root);
  }

  #replace(owner: Record<string, AnyFunction>, name: string, takesSpace: boolean, hasCallback: boolean): void {
    const original = owner[name];
    if (original === undefined) return;
    owner[name] = (...parameters) => {
      const error = this.#next(name, parameters, takesSpace);
      if (error !== undefined && !hasCallback) throw error;
      if (error !== undefined) {
        const callback = parameters.at(-1) as AnyFunction;
        setImmediate(() => callback(error));
        return undefined;
      }
      if (name === 'openSync') {
        const fd = original(...parameters) as number;
        if (this.#isOurs(parameters[0])) this.#fds.add(fd);
        else this.#fds.delete(fd);
        return fd;
      }
      if (name === 'open') {
        const callback = parameters.at(-1) as AnyFunction;
        return original(...parameters.slice(0, -1), (failure: unknown, fd: number) => {
          if (this.#isOurs(parameters[0])) this.#fds.add(fd);
          else this.#fds.delete(fd);
          callback(failure, fd);
        });
      }
      return original(...parameters);
    };
  }

  #replacePromised(owner: Record<string, AnyFunction>, name: string, takesSpace: boolean): void {
    const original = owner[name];
    if (original === undefined) return;
    owner[name] = async (...parameters) => {
      const error = this.#next(name, parameters, takesSpace);
      if (error !== undefined) throw error;
      const result = await original(...parameters);
      if (name === 'open' && this.#isOurs(parameters[0])) this.#watchHandle(result as Record<string, AnyFunction>, String(parameters[0]));
      return result;
    };
  }

  #watchHandle(handle: Record<string, AnyFunction>, path: string): void {
    for (const name of [...handleNeedSpace, ...handleNeedNone]) {
      const original = handle[name];
      if (original === undefined) continue;
      handle[name] = async (...parameters) => {
        const error = this.#next(`handle.${name}`, [path], handleNeedSpace.includes(name));
        if (error !== undefined) throw error;
        return Reflect.apply(original, handle, parameters);
      };
    }
  }
}
