// Maildirs made by writing files: the same for every server, and much faster than delivering the messages.
import { chownSync, copyFileSync, linkSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { messageFiles } from './message-files.js';
import { mailOwner, type Peer, userName } from './peers/peer.js';

/** The index files that a server keeps in a Maildir. */
const indexFiles = [
  'dovecot-uidlist',
  'dovecot.index',
  'dovecot.index.log',
  'dovecot.index.log.2',
  'dovecot.index.cache',
  'dovecot.list.index',
  'dovecot.list.index.log',
  'roost.index',
  'roost.index.log',
  'roost.cache',
  'roost.keys',
];

function makeOwned(path: string): void {
  const { uid, gid } = mailOwner();
  mkdirSync(path, { recursive: true });
  if (process.getuid?.() === 0) chownSync(path, uid, gid);
}

/** More than a few thousand links to one file would near what file systems allow (ext4: 65,000). */
const mostLinks = 20_000;

export interface MaildirFill {
  readonly count: number;
  /** Octets of a message, about. */
  readonly bytes: number;
  /** So many messages differ, the others are links to the same files: for mailboxes nobody searches. All unless told. */
  readonly distinct?: number;
  /** Files of their own, for scenarios in which messages go: to remove the last link costs the file system more. */
  readonly isWritten?: boolean;
  /** `.Name`; INBOX unless told. */
  readonly folder?: string;
}

/**
 * Replaces a Maildir of the user by one with messages in cur/, a tenth of them \Flagged, two thirds of them \Seen (a thirtieth is flagged and not seen).
 *
 * The messages are links to files made once in each run: no server changes a message file, and each has its own folder and names.
 */
export function writeMaildir(peer: Peer, user: number, fill: MaildirFill): void {
  const { count, bytes, distinct = count, isWritten = false, folder = '' } = fill;
  const { uid, gid } = mailOwner();
  const base = join(peer.maildir(userName(user)), folder);
  rmSync(base, { recursive: true, force: true });
  if (folder !== '') makeOwned(peer.maildir(userName(user)));
  for (const path of [base, join(base, 'cur'), join(base, 'new'), join(base, 'tmp')]) makeOwned(path);
  const different = Math.max(Math.min(distinct, count), Math.ceil(count / mostLinks));
  const { folder: from, sizes } = messageFiles(different, bytes);
  for (let index = 0; index < count; index++) {
    const flags = `${index % 10 === 0 ? 'F' : ''}${index % 3 === 0 ? '' : 'S'}`;
    const size = sizes[index % different] ?? 0;
    const name = `${1_700_000_000 + index}.M${index}P1.bench,S=${size},W=${size}:2,${flags}`;
    const path = join(base, 'cur', name);
    if (!isWritten) linkSync(join(from, String(index % different)), path);
    else {
      copyFileSync(join(from, String(index % different)), path);
      if (process.getuid?.() === 0) chownSync(path, uid, gid);
    }
  }
}

/** As if the server had never seen the Maildir. The mailbox must not be open anywhere. */
export function removeIndex(peer: Peer, user: number, folder = ''): void {
  for (const name of indexFiles) rmSync(join(peer.maildir(userName(user)), folder, name), { recursive: true, force: true });
}
