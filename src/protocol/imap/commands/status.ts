// STATUS (RFC 9051 6.3.11, RFC 7162 HIGHESTMODSEQ, RFC 8438 SIZE, RFC 8474 MAILBOXID, RFC 7889 APPENDLIMIT, RFC 9208 DELETED-STORAGE).
import type { CommandReader } from '../reader.js';

const names = [
  'MESSAGES',
  'RECENT',
  'UIDNEXT',
  'UIDVALIDITY',
  'UNSEEN',
  'HIGHESTMODSEQ',
  'SIZE',
  'DELETED',
  'DELETED-STORAGE',
  'MAILBOXID',
  'APPENDLIMIT',
] as const;

export type StatusItem = (typeof names)[number];

export interface StatusCommand {
  readonly mailbox: string;
  readonly items: readonly StatusItem[];
}

export function parseStatus(reader: CommandReader): StatusCommand {
  reader.space();
  const mailbox = reader.mailbox();
  reader.space();
  const items = parseStatusItems(reader);
  reader.end();
  return { mailbox, items };
}

/** `(MESSAGES UNSEEN)`; repeated items are kept once. */
export function parseStatusItems(reader: CommandReader): StatusItem[] {
  const items = reader.list(() => {
    const name = reader.word('status item');
    const known = names.find((candidate) => candidate === name);
    if (known === undefined) return reader.fail(`Invalid status item ${name}`);
    return known;
  });
  if (items.length === 0) reader.fail('Empty status list.');
  return [...new Set(items)];
}
