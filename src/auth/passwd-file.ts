// Files in the form of /etc/passwd, kept in memory: `user:password:uid:gid:gecos:home:shell:extra fields`.
//
// Missing fields at the end are empty; empty lines and lines that begin with # are skipped; the first line of a user counts. A file is looked at again at most once a second and
// read again when device, inode, size, mtime or ctime changed; a file that is being rewritten is seen whole or in part, as the writer left it, and
// once more when its times change again: write a new file and rename it. Colons in the extra fields (IPv6 nets) belong to them.
import { readFile, type Stats, stat } from 'node:fs';
import { LRUCache } from 'lru-cache';
import type { Logger } from '#log/logger.js';
import { errnoOf } from '#util/coded-error.js';

const recheckMs = 1000;
/** Files kept open in memory when the path depends on the user's domain. */
const maxFiles = 1000;
/** 200 MB of users. */
const maxFileBytes = 200 * 1024 * 1024;

export interface PasswdEntry {
  readonly user: string;
  readonly password: string;
  readonly uid: string;
  readonly gid: string;
  readonly home: string;
  /** Unparsed extra fields. */
  readonly extra: string;
}

export type PasswdFileResult =
  /** `heldUntilMs`: the file is not looked at again before. */
  | { readonly kind: 'entries'; readonly entries: ReadonlyMap<string, PasswdEntry>; readonly heldUntilMs: number }
  | { readonly kind: 'missing' }
  | { readonly kind: 'error'; readonly reason: string };

export interface PasswdFileOptions {
  readonly log: Logger;
  readonly nowMs: () => number;
}

interface LoadedFile {
  checkedAtMs: number;
  stamp: string;
  entries: ReadonlyMap<string, PasswdEntry> | undefined;
  /** The check under way, shared by everybody who asks meanwhile. */
  pending: Promise<PasswdFileResult> | undefined;
}

/** All passwd-files of the process; the same path is read once for passdb and userdb. */
export class PasswdFiles {
  readonly #options: PasswdFileOptions;
  readonly #files = new LRUCache<string, LoadedFile>({ max: maxFiles });

  constructor(options: PasswdFileOptions) {
    this.#options = options;
  }

  /** Resolves at once while the last look is younger than a second. */
  read(path: string): PasswdFileResult | Promise<PasswdFileResult> {
    const known = this.#files.get(path);
    if (known?.pending) return known.pending;
    const ageMs = this.#options.nowMs() - (known?.checkedAtMs ?? 0);
    // A clock that was set back says nothing of the age.
    if (known?.entries && ageMs >= 0 && ageMs < recheckMs) return toResult(known.entries, known.checkedAtMs);
    const file = known ?? { checkedAtMs: 0, stamp: '', entries: undefined, pending: undefined };
    if (!known) this.#files.set(path, file);
    file.pending = this.#refresh(path, file).finally(() => {
      file.pending = undefined;
    });
    return file.pending;
  }

  /** Forgets what was read, so that the next lookup reads again. */
  clear(): void {
    this.#files.clear();
  }

  async #refresh(path: string, file: LoadedFile): Promise<PasswdFileResult> {
    try {
      const found = await statFile(path);
      const stamp = `${found.dev}.${found.ino}.${found.size}.${found.mtimeMs}.${found.ctimeMs}`;
      if (file.entries === undefined || stamp !== file.stamp) {
        if (found.size > maxFileBytes) return { kind: 'error', reason: `passwd-file ${path}: larger than ${maxFileBytes} octets` };
        const text = await readText(path);
        const parsed = parsePasswdFile(text);
        for (const user of parsed.repeated) {
          this.#options.log.warning('auth.passwd-file.repeated', `passwd-file ${path}: User ${user} exists more than once`, { path, user });
        }
        file.entries = parsed.entries;
        file.stamp = stamp;
      }
      file.checkedAtMs = this.#options.nowMs();
      return toResult(file.entries, file.checkedAtMs);
    } catch (error) {
      file.entries = undefined;
      const errno = errnoOf(error);
      if (errno === 'ENOENT' || errno === 'ENOTDIR') return { kind: 'missing' };
      return { kind: 'error', reason: `passwd-file ${path}: ${error instanceof Error ? error.message : String(error)}` };
    }
  }
}

function toResult(entries: ReadonlyMap<string, PasswdEntry>, checkedAtMs: number): PasswdFileResult {
  return { kind: 'entries', entries, heldUntilMs: checkedAtMs + recheckMs };
}

function statFile(path: string): Promise<Stats> {
  return new Promise((resolve, reject) => {
    stat(path, (error, stats) => (error ? reject(error) : resolve(stats)));
  });
}

function readText(path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    readFile(path, 'utf8', (error, text) => (error ? reject(error) : resolve(text)));
  });
}

/** Reads the text of a file; `repeated` names users that come more than once. */
export function parsePasswdFile(text: string): {
  readonly entries: ReadonlyMap<string, PasswdEntry>;
  readonly repeated: readonly string[];
} {
  const entries = new Map<string, PasswdEntry>();
  const repeated: string[] = [];
  for (const rawLine of text.split('\n')) {
    const line = rawLine.endsWith('\r') ? rawLine.slice(0, -1) : rawLine;
    if (line === '' || line.startsWith('#')) continue;
    const [user = '', password = '', uid = '', gid = '', , home = '', , ...extra] = line.split(':');
    if (user === '') continue;
    if (entries.has(user)) repeated.push(user);
    else entries.set(user, { user, password, uid, gid, home, extra: extra.join(':') });
  }
  return { entries, repeated };
}
