// Maildirs made by writing files: the same for every server, and much faster than delivering the messages.
import { chownSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { message } from './mail.js';
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
];

function makeOwned(path: string): void {
  const { uid, gid } = mailOwner();
  mkdirSync(path, { recursive: true });
  if (process.getuid?.() === 0) chownSync(path, uid, gid);
}

/** Replaces the user's Maildir by one with `count` messages of `bytes` octets in cur/, a tenth of them \Flagged, half of them \Seen. */
export function writeMaildir(peer: Peer, user: number, count: number, bytes: number, folder = ''): void {
  const base = folder === '' ? peer.maildir(userName(user)) : join(peer.maildir(userName(user)), folder);
  rmSync(base, { recursive: true, force: true });
  const { uid, gid } = mailOwner();
  for (const path of [base, join(base, 'cur'), join(base, 'new'), join(base, 'tmp')]) makeOwned(path);
  for (let index = 0; index < count; index++) {
    const content = message(bytes, index);
    const flags = `${index % 10 === 0 ? 'F' : ''}${index % 2 === 0 ? 'S' : ''}`;
    const name = `${1_700_000_000 + index}.M${index}P1.bench,S=${content.length},W=${content.length}:2,${flags}`;
    const path = join(base, 'cur', name);
    writeFileSync(path, content);
    if (process.getuid?.() === 0) chownSync(path, uid, gid);
  }
}

/** As if the server had never seen the Maildir. The mailbox must not be open anywhere. */
export function removeIndex(peer: Peer, user: number): void {
  for (const name of indexFiles) rmSync(join(peer.maildir(userName(user)), name), { recursive: true, force: true });
}
