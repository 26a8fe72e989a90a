// What is left of a folder when the power goes: a model of a journaling file system at its worst.
//
// Names (link, rename, unlink, mkdir) reach the disk in order, and no later than the next fsync of anything. Contents reach it when the file itself is
// fsynced; whatever was written since is lost, and a file that never was is empty. What was sent to the device before (sync_file_range) reaches it with
// the next fsync of anything. Kernels write more than that; a promise has to hold without it.
//
// Without a journal an fsync is about what it is called for alone: a folder's names, or a file's contents; with `own-name` also about the folder in which
// the file has got a name since it was synced last.
import { mkdirSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs';
import { createRequire, syncBuiltinESMExports } from 'node:module';
import { dirname, join } from 'node:path';

const require = createRequire(import.meta.url);

type AnyFunction = (...parameters: unknown[]) => unknown;

/** A file or folder, whatever its name is now. */
type Id = string;

interface Names {
  readonly files: ReadonlyMap<string, Id>;
  readonly folders: readonly string[];
}

/** @returns `before`, with the names of one folder as they are in `now` */
function namesWith(before: Names, now: Names, folder: string): Names {
  const isIn = (path: string): boolean => (path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : '') === folder;
  return {
    files: new Map([...[...before.files].filter(([path]) => !isIn(path)), ...[...now.files].filter(([path]) => isIn(path))]),
    folders: [...before.folders.filter((path) => !isIn(path)), ...now.folders.filter(isIn)],
  };
}

function idOf(path: string): Id {
  const { ino, birthtimeNs } = statSync(path, { bigint: true });
  return `${ino}.${birthtimeNs}`;
}

/** What an fsync makes durable besides the file's contents. */
export type Promised = 'all-names' | 'own-name' | 'file';

/** Watches one folder and all below it. */
export class PowerLoss {
  readonly #root: string;
  readonly #promised: Promised;
  readonly #contents = new Map<Id, Buffer>();
  readonly #onDevice = new Map<Id, Buffer>();
  #names: Names;
  #namesOrder = 0;
  #started = 0;
  /** fsync calls that had to do with the folder. */
  syncs = 0;

  /** Everything there is now is on the disk. */
  constructor(root: string, promised: Promised = 'all-names') {
    this.#root = root;
    this.#promised = promised;
    this.#names = this.#listing();
    for (const [path, id] of this.#names.files) this.#contents.set(id, readFileSync(join(root, path)));
  }

  /** Installed once for the life of a process. @param current the model that is told */
  static install(current: () => PowerLoss | undefined): void {
    const fs = require('node:fs') as Record<string, AnyFunction> & { readonly promises: Record<string, AnyFunction> };
    for (const name of ['fsync', 'fdatasync']) {
      const original = fs[name] as AnyFunction;
      fs[name] = (fd, callback) => {
        const ended = current()?.begin(fd as number);
        return original(fd, (error: unknown) => {
          if (error === null || error === undefined) ended?.();
          (callback as AnyFunction)(error);
        });
      };
    }
    const open = fs.promises['open'] as AnyFunction;
    fs.promises['open'] = async (...parameters) => {
      const handle = (await open(...parameters)) as Record<string, AnyFunction> & { readonly fd: number };
      for (const name of ['sync', 'datasync']) {
        const original = handle[name] as AnyFunction;
        handle[name] = async () => {
          const ended = current()?.begin(handle.fd);
          await Reflect.apply(original, handle, []);
          ended?.();
        };
      }
      return handle;
    };
    syncBuiltinESMExports();
  }

  /** Called before each sync. */
  onSync: (() => void) | undefined;
  /** Called when the disk has what was to be synced. */
  onSynced: (() => void) | undefined;

  /** The octets of an open file are on the device. */
  sentOut(fd: number): void {
    const path = this.#pathOf(fd);
    if (path !== undefined) this.#onDevice.set(idOf(path), readFileSync(path));
  }

  /** The file system writes its journal by itself. */
  commit(): void {
    this.#started += 1;
    this.#namesOrder = this.#started;
    this.#names = this.#listing();
    for (const [id, contents] of this.#onDevice) this.#contents.set(id, contents);
  }

  /** Below /proc, as it may have no name. */
  #pathOf(fd: number): string | undefined {
    const open = `/proc/self/fd/${fd}`;
    return `${readlinkSync(open)}/`.startsWith(`${this.#root}/`) ? open : undefined;
  }

  /** @returns to be called when the disk has it */
  begin(fd: number): (() => void) | undefined {
    const path = this.#pathOf(fd);
    if (path === undefined) return undefined;
    this.onSync?.();
    this.syncs += 1;
    this.#started += 1;
    const order = this.#started;
    const names = this.#listing();
    const onDevice = [...this.#onDevice];
    const isFile = statSync(path).isFile();
    const id = idOf(path);
    const contents = isFile ? readFileSync(path) : undefined;
    if (this.#promised !== 'all-names') {
      const folder = isFile ? this.#newFolderOf(id, names) : readlinkSync(path).slice(this.#root.length + 1);
      return () => {
        if (contents !== undefined) this.#contents.set(id, contents);
        if (folder !== undefined) this.#names = namesWith(this.#names, names, folder);
        this.onSynced?.();
      };
    }
    return () => {
      for (const [other, sent] of onDevice) this.#contents.set(other, sent);
      if (contents !== undefined) this.#contents.set(id, contents);
      if (order < this.#namesOrder) return;
      this.#namesOrder = order;
      this.#names = names;
    };
  }

  /** Where the file has a name that the disk does not have. */
  #newFolderOf(id: Id, names: Names): string | undefined {
    if (this.#promised !== 'own-name') return undefined;
    for (const [path, one] of names.files) if (one === id && this.#names.files.get(path) !== id) return dirname(path);
    return undefined;
  }

  /** Writes what is left to another folder. */
  crash(to: string): void {
    mkdirSync(to, { recursive: true });
    for (const folder of this.#names.folders) mkdirSync(join(to, folder), { recursive: true });
    for (const [path, id] of this.#names.files) writeFileSync(join(to, path), this.#contents.get(id) ?? '');
  }

  #listing(): Names {
    const files = new Map<string, Id>();
    const folders: string[] = [];
    const visit = (folder: string): void => {
      for (const entry of readdirSync(join(this.#root, folder), { withFileTypes: true })) {
        const path = join(folder, entry.name);
        if (entry.isDirectory()) {
          folders.push(path);
          visit(path);
        } else files.set(path, idOf(join(this.#root, path)));
      }
    };
    visit('');
    return { files, folders };
  }
}
