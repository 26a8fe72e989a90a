// What the passwd-file passdb and userdb share: arguments, path with %variables, finding the line of a user.
import type { PasswdEntry, PasswdFileResult, PasswdFiles } from './passwd-file.js';
import type { AuthState } from './request.js';

export interface PasswdFileContext {
  readonly files: PasswdFiles;
  readonly expand: (template: string, state: AuthState) => string;
}

export interface PasswdFileArgs {
  /** May hold %variables. */
  readonly path: string;
  /** Of passwords without {SCHEME}. */
  readonly scheme: string;
  readonly usernameFormat: string;
}

/** @throws Error when there is no path */
export function parsePasswdFileArgs(text: string): PasswdFileArgs {
  let rest = text.trim();
  let scheme = 'CRYPT';
  let usernameFormat = '%u';
  for (;;) {
    const option = /^(scheme|username_format)=(\S*)\s+/.exec(rest);
    if (!option) break;
    if (option[1] === 'scheme') scheme = (option[2] ?? '').toUpperCase();
    else usernameFormat = option[2] ?? '%u';
    rest = rest.slice(option[0].length);
  }
  if (rest === '') throw new Error('passwd-file: Missing path');
  return { path: rest, scheme, usernameFormat };
}

export type EntryLookup =
  | { readonly kind: 'entry'; readonly entry: PasswdEntry; readonly heldUntilMs: number }
  | { readonly kind: 'unknown'; readonly heldUntilMs?: number }
  | { readonly kind: 'internal'; readonly reason: string };

/** Expands the path for this user; a name may not lead out of the folder that the setting names. */
function pathFor(args: PasswdFileArgs, context: PasswdFileContext, state: AuthState): string | undefined {
  if (!args.path.includes('%')) return args.path;
  const isSafe = !state.user.includes('/') && !state.user.split('@').some((part) => part === '' || part.startsWith('.'));
  return isSafe ? context.expand(args.path, state) : undefined;
}

/** At once while the file was looked at within the last second (passwd-file.ts). */
export function findEntry(args: PasswdFileArgs, context: PasswdFileContext, state: AuthState): EntryLookup | Promise<EntryLookup> {
  const path = pathFor(args, context, state);
  if (path === undefined) return { kind: 'unknown' };
  const read = context.files.read(path);
  return read instanceof Promise
    ? read.then((result) => entryIn(result, path, args, context, state))
    : entryIn(read, path, args, context, state);
}

function entryIn(read: PasswdFileResult, path: string, args: PasswdFileArgs, context: PasswdFileContext, state: AuthState): EntryLookup {
  if (read.kind === 'error') return { kind: 'internal', reason: read.reason };
  if (read.kind === 'missing') {
    // One file per domain: no file means no such domain. A fixed path that is gone is the administrator's error.
    return args.path.includes('%') ? { kind: 'unknown' } : { kind: 'internal', reason: `missing passwd file: ${path}` };
  }
  const entry = read.entries.get(context.expand(args.usernameFormat, state));
  const { heldUntilMs } = read;
  return entry ? { kind: 'entry', entry, heldUntilMs } : { kind: 'unknown', heldUntilMs };
}
