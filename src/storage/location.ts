// mail_location and the location of a namespace: `maildir:~/Maildir:INDEX=/var/index/%u:LAYOUT=fs`.
import { join, resolve } from 'node:path';
import { StorageError } from './errors.js';
import type { LocationFolders } from './list/layout.js';

export type Layout = 'maildir++' | 'fs';

export interface MailLocation {
  readonly layout: Layout;
  readonly folders: LocationFolders;
  /** File name in the control root. */
  readonly subscriptions: string;
  /** Keys that have no effect here, for one warning. */
  readonly ignored: readonly string[];
}

const ignoredKeys = new Set(['INDEXPVT', 'INDEXCACHE', 'ALT', 'VOLATILEDIR', 'LISTINDEX', 'BROKENCHAR']);
const ignoredFlags = new Set(['ALTNOCHECK', 'ITERINDEX', 'NO-NOSELECT', 'NO-NOSELECT-ALL']);

/**
 * @param text variables already replaced, `~` not
 * @param home undefined when the user has none
 * @throws StorageError `unavailable` for a format that is not Maildir, or a path that is not absolute
 */
export function parseLocation(text: string, home: string | undefined): MailLocation {
  const [first = '', ...rest] = splitLocation(text);
  const { format, path } = splitFormat(first, rest);
  if (format !== 'maildir') {
    throw new StorageError('unavailable', `mail_location ${text}: ${format} is not supported, only maildir`);
  }
  const keys = new Map<string, string>();
  const flags = new Set<string>();
  const ignored: string[] = [];
  for (const part of path === undefined ? [] : rest.slice(rest.length - path.used)) {
    const equals = part.indexOf('=');
    const key = (equals === -1 ? part : part.slice(0, equals)).toUpperCase();
    if (ignoredKeys.has(key) || ignoredFlags.has(key)) ignored.push(key);
    else if (equals === -1) flags.add(key);
    else keys.set(key, part.slice(equals + 1));
  }
  return assemble(path?.root ?? '~/Maildir', keys, flags, { text, home, ignored });
}

interface Context {
  readonly text: string;
  readonly home: string | undefined;
  readonly ignored: string[];
}

function assemble(rootText: string, keys: ReadonlyMap<string, string>, flags: ReadonlySet<string>, context: Context): MailLocation {
  const path = (value: string): string => absolutePath(value, context);
  const root = path(rootText);
  const control = keys.get('CONTROL');
  const index = keys.get('INDEX');
  const inbox = keys.get('INBOX');
  const layout = (keys.get('LAYOUT') ?? 'maildir++').toLowerCase();
  if (layout !== 'maildir++' && layout !== 'fs') {
    throw new StorageError('unavailable', `mail_location ${context.text}: LAYOUT=${layout} is not supported, only maildir++ and fs`);
  }
  const mailFolderName = layout === 'fs' ? (keys.get('DIRNAME') ?? keys.get('FULLDIRNAME') ?? '') : '';
  for (const name of [mailFolderName, keys.get('SUBSCRIPTIONS') ?? '']) {
    if (name.includes('/') || name === '..')
      throw new StorageError('unavailable', `mail_location ${context.text}: ${name} is not a file name`);
  }
  const known = new Set(['CONTROL', 'INDEX', 'INBOX', 'LAYOUT', 'DIRNAME', 'FULLDIRNAME', 'SUBSCRIPTIONS', 'MAILBOXDIR']);
  for (const key of [...keys.keys(), ...flags]) {
    if (!known.has(key) && key !== 'UTF-8') throw new StorageError('unavailable', `mail_location ${context.text}: unknown key ${key}`);
  }
  return {
    layout,
    subscriptions: keys.get('SUBSCRIPTIONS') ?? 'subscriptions',
    ignored: context.ignored,
    folders: {
      root,
      inbox: inbox !== undefined ? path(inbox) : mailFolderName === '' ? root : join(root, 'INBOX', mailFolderName),
      control: control === undefined ? undefined : path(control),
      index: index === undefined ? undefined : index.toUpperCase() === 'MEMORY' ? 'memory' : path(index),
      mailFolderName,
      mailboxesFolder: layout === 'fs' ? (keys.get('MAILBOXDIR') ?? '').replace(/^\/+|\/+$/g, '') : '',
      isUtf8: flags.has('UTF-8'),
    },
  };
}

/** Parts between single colons; a doubled colon stands for one. */
function splitLocation(text: string): string[] {
  const parts = [''];
  for (let at = 0; at < text.length; at += 1) {
    const char = text.charAt(at);
    if (char !== ':') parts[parts.length - 1] += char;
    else if (text.charAt(at + 1) === ':') {
      parts[parts.length - 1] += ':';
      at += 1;
    } else parts.push('');
  }
  return parts;
}

/** A path without a format is a Maildir; nothing at all is `~/Maildir`. */
function splitFormat(
  first: string,
  rest: readonly string[],
): { readonly format: string; readonly path: { readonly root: string; readonly used: number } | undefined } {
  if (first === '' && rest.length === 0) return { format: 'maildir', path: undefined };
  if (/^[/~]/.test(first)) return { format: 'maildir', path: { root: first, used: rest.length } };
  const [root = '', ...keys] = rest;
  if (rest.length === 0) return { format: first.toLowerCase(), path: undefined };
  return { format: first.toLowerCase(), path: { root: root === '' ? '~/Maildir' : root, used: keys.length } };
}

function absolutePath(value: string, { home, text }: Context): string {
  if (value === '~' || value.startsWith('~/')) {
    if (home === undefined) {
      throw new StorageError('unavailable', `mail_location ${text}: the user has no home directory to replace ~ with`);
    }
    return resolve(join(home, value.slice(1)));
  }
  if (!value.startsWith('/')) throw new StorageError('unavailable', `mail_location ${text}: ${value} is not an absolute path`);
  return resolve(value);
}
