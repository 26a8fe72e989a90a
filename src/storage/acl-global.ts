// The list for all users: `acl = vfile:/etc/dovecot/dovecot-acl`.
//
// Layout: a line as in the list of a mailbox, with a pattern of mailbox names in front (`*` and `?`, in quotes where it has blanks):
// `INBOX owner lrwsti`, `Public/* user=admin lrwstipekxa`. What it says holds over what the mailbox's own list says.
import { readFile } from 'node:fs/promises';
import { type AclEntry, parseAclLine } from './acl.js';
import { StorageError } from './errors.js';
import { fileStamp } from './list/file-stamp.js';

export interface GlobalAcl {
  /** @param name visible to the accessing user @throws StorageError `unavailable` when the file cannot be read: nothing may be granted then */
  entriesFor(name: string): Promise<readonly AclEntry[]>;
}

interface GlobalRule extends AclEntry {
  readonly pattern: RegExp;
}

const maxFileBytes = 1024 * 1024;

/** @throws StorageError `unavailable` for a line that is not understood, as it may take rights away */
export function parseGlobalAcl(text: string, path: string): readonly GlobalRule[] {
  return text.split('\n').flatMap((line, index): GlobalRule[] => {
    if (/^\s*(?:#|$)/.test(line)) return [];
    const [, quoted, plain = '', rest = ''] = /^\s*(?:"((?:[^"\\]|\\.)*)"|(\S+))\s+(.*)$/.exec(line) ?? [];
    const entry = parseAclLine(rest);
    if (entry === undefined) throw new StorageError('unavailable', `${path}: line ${index + 1} is no rule of a global access control list`);
    return [{ ...entry, pattern: patternOf(quoted?.replace(/\\(.)/g, '$1') ?? plain) }];
  });
}

/** Without backtracking over several `*`: each takes as little as it can. */
function patternOf(text: string): RegExp {
  const parts = text.replace(/\*+/g, '*').split('*');
  const fixed = parts.map((part) => part.replace(/[\\^$.+()[\]{}|/-]/g, '\\$&').replaceAll('?', '.'));
  return new RegExp(`^${fixed.join('.*?')}$`, 's');
}

export function openGlobalAcl(path: string): GlobalAcl {
  let known: { readonly stamp: string; readonly rules: readonly GlobalRule[] } | undefined;
  const read = async (): Promise<readonly GlobalRule[]> => {
    try {
      const stamp = fileStamp(path, maxFileBytes);
      if (stamp === undefined) throw new StorageError('unavailable', `global access control list ${path} is not there`);
      if (known?.stamp !== stamp) known = { stamp, rules: parseGlobalAcl(await readFile(path, 'utf8'), path) };
      return known.rules;
    } catch (error) {
      if (error instanceof StorageError) throw error;
      throw new StorageError('unavailable', `cannot read the global access control list ${path}`, { cause: error });
    }
  };
  return { entriesFor: async (name) => (await read()).filter(({ pattern }) => pattern.test(name)) };
}
