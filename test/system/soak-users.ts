// Where the soak's users have their mail, and as whom it is served.
import { chownSync, existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { RunningRoost } from '../support/running-roost.js';

export const soakPassword = 'secret';
/** As root, of every four users one has the first, one the second: imap, imap-hibernate and deliver run as them. The others share mail_uid. */
const ownUids = [20_101, 20_102];

/** Undefined for who shares mail_uid. */
export function ownUidOf(userIndex: number): number | undefined {
  return process.getuid?.() === 0 ? ownUids[userIndex % 4] : undefined;
}

/** Fields of the passwd-file after the name. */
export function passwdEntry(homes: string, user: string, index: number): string {
  const uid = ownUidOf(index);
  if (uid === undefined) return soakPassword;
  const home = join(homes, user);
  mkdirSync(home, { mode: 0o700 });
  chownSync(home, uid, uid);
  return `{PLAIN}${soakPassword}:${uid}:${uid}::${home}::`;
}

export function maildirOf(user: string, homes: string, server: RunningRoost): string {
  const home = join(homes, user);
  return existsSync(home) ? join(home, 'Maildir') : server.maildir(user);
}
