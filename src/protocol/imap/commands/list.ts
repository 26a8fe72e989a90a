// LIST and LSUB (RFC 9051 6.3.9, RFC 5258 LIST-EXTENDED, RFC 5819 LIST-STATUS, RFC 6154, RFC 8440, RFC 9590).

import { decodeUtf8 } from '../grammar.js';
import { decodeMailboxName } from '../mailbox-name.js';
import type { CommandReader } from '../reader.js';
import { parseEntryName } from './metadata.js';
import { parseStatusItems, type StatusItem } from './status.js';

export type ListSelection = 'SUBSCRIBED' | 'REMOTE' | 'RECURSIVEMATCH' | 'SPECIAL-USE';

export interface ListReturn {
  readonly subscribed: boolean;
  readonly children: boolean;
  readonly specialUse: boolean;
  readonly myRights: boolean;
  /** LIST-STATUS items. */
  readonly status: readonly StatusItem[] | undefined;
  /** LIST-METADATA entries. */
  readonly metadata: readonly string[] | undefined;
}

export interface ListCommand {
  readonly reference: string;
  readonly patterns: readonly string[];
  readonly selection: ReadonlySet<ListSelection>;
  /** Undefined: the command has no RETURN. */
  readonly returns: ListReturn | undefined;
  /** Selection options, a pattern list or RETURN occurred: the extended rules of RFC 5258 hold. */
  readonly isExtended: boolean;
}

const selectionNames = new Set<ListSelection>(['SUBSCRIBED', 'REMOTE', 'RECURSIVEMATCH', 'SPECIAL-USE']);

function isSelection(name: string): name is ListSelection {
  return selectionNames.has(name as ListSelection);
}

function readReference(reader: CommandReader): string {
  const raw = reader.astring();
  return decodeMailboxName(raw, reader.isUtf8) ?? decodeUtf8(raw);
}

export function parseLsub(reader: CommandReader): ListCommand {
  reader.space();
  const reference = readReference(reader);
  reader.space();
  const pattern = reader.mailboxPattern();
  reader.end();
  return { reference, patterns: [pattern], selection: new Set(), returns: undefined, isExtended: false };
}

export function parseList(reader: CommandReader): ListCommand {
  reader.space();
  const selection = new Set<ListSelection>();
  let isExtended = false;
  if (reader.isAtList) {
    isExtended = true;
    reader.list(() => {
      const name = reader.word('selection option');
      if (!isSelection(name)) reader.fail(`Unknown select option ${name}`);
      selection.add(name);
    });
    reader.space();
  }
  if (selection.has('RECURSIVEMATCH') && !selection.has('SUBSCRIBED') && !selection.has('SPECIAL-USE'))
    reader.fail('RECURSIVEMATCH must not be the only selection.');
  const reference = readReference(reader);
  reader.space();
  let patterns: string[];
  if (reader.isAtList) {
    isExtended = true;
    patterns = reader.list(() => reader.mailboxPattern());
    if (patterns.length === 0) reader.fail('Empty pattern list.');
  } else patterns = [reader.mailboxPattern()];
  let returns: ListReturn | undefined;
  if (reader.trySpace()) {
    if (!reader.tryWord('RETURN')) reader.fail('Unexpected extra arguments');
    isExtended = true;
    reader.space();
    returns = parseReturn(reader);
  }
  reader.end();
  return { reference, patterns, selection, returns, isExtended };
}

function parseReturn(reader: CommandReader): ListReturn {
  const found = new Set<string>();
  let status: readonly StatusItem[] | undefined;
  let metadata: readonly string[] | undefined;
  reader.list(() => {
    const name = reader.word('return option');
    switch (name) {
      case 'SUBSCRIBED':
      case 'CHILDREN':
      case 'SPECIAL-USE':
      case 'MYRIGHTS':
        found.add(name);
        return;
      case 'STATUS':
        reader.space();
        status = parseStatusItems(reader);
        return;
      case 'METADATA':
        reader.space();
        metadata = reader.list(() => parseEntryName(reader, false));
        if (metadata.length === 0) reader.fail('Empty entry list.');
        return;
      default:
        reader.fail(`Unknown return option ${name}`);
    }
  });
  return {
    subscribed: found.has('SUBSCRIBED'),
    children: found.has('CHILDREN'),
    specialUse: found.has('SPECIAL-USE'),
    myRights: found.has('MYRIGHTS'),
    status,
    metadata,
  };
}
