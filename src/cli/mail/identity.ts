// Touching mail as the user it belongs to: a command that root runs must not leave files of root behind, nor follow a user's link to a file
// that only root may write.
import { stat } from 'node:fs/promises';
import { PasswdFiles } from '#auth/passwd-file.js';
import { SystemUsers } from '#auth/system-users.js';
import { mailSettings } from '#config/groups/mail.js';
import { masterSocketPath } from '#ipc/master-client.js';
import { errnoOf } from '#util/coded-error.js';
import type { Context } from '../context.js';
import { AdminError } from '../exit-codes.js';

export interface MailIdentity {
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups: mail_access_groups. */
  readonly groups: readonly number[];
}

/**
 * Whom to become for a user's mail; undefined when this process is that user already, or need not care because it is not root.
 * @throws AdminError when the settings allow nobody
 */
export async function identityOf(
  context: Context,
  user: string,
  fields: Readonly<Record<string, string>>,
): Promise<MailIdentity | undefined> {
  const own = process.getuid?.();
  if (own === undefined) return undefined;
  // Somebody else's mail may be readable all the same, through a group; the files will tell.
  if (own !== 0) return undefined;
  const server = await serverOwner(context);
  if (server !== undefined && server.uid !== 0) return { ...server, groups: [] };
  const settings = await context.settingsOf(mailSettings);
  const system = new SystemUsers({ files: new PasswdFiles({ log: context.logFor(user), nowMs: Date.now }), nowMs: Date.now });
  const uidText = fields['uid'] ?? settings.mail_uid;
  const gidText = fields['gid'] ?? settings.mail_gid;
  const uid = uidText === '' ? undefined : await system.uidOf(uidText);
  const gid = gidText === '' ? undefined : await system.gidOf(gidText);
  const refuse = (text: string): AdminError => new AdminError('permission', `Mail access not permitted for user ${user}: ${text}`);
  if (uid === undefined) throw refuse(uidText === '' ? 'userdb did not return a uid, and mail_uid is not set' : `no user ${uidText}`);
  if (gid === undefined) throw refuse(gidText === '' ? 'userdb did not return a gid, and mail_gid is not set' : `no group ${gidText}`);
  if (uid === 0) throw refuse('mail access as root is not allowed');
  const { first_valid_uid: firstUid, last_valid_uid: lastUid, first_valid_gid: firstGid, last_valid_gid: lastGid } = settings;
  if (!isWithin(uid, firstUid, lastUid)) throw refuse(`uid ${uid} is not permitted (first_valid_uid = ${firstUid})`);
  if (!isWithin(gid, firstGid, lastGid)) throw refuse(`gid ${gid} is not permitted (first_valid_gid = ${firstGid})`);
  const groups: number[] = [];
  for (const name of settings.mail_access_groups) {
    const group = await system.gidOf(name);
    if (group === undefined) throw refuse(`mail_access_groups: no group ${name}`);
    groups.push(group);
  }
  return { uid, gid, groups };
}

/** Who runs the server: where that is not root, all mail belongs to the same user. */
async function serverOwner(context: Context): Promise<{ readonly uid: number; readonly gid: number } | undefined> {
  try {
    const { uid, gid } = await stat(masterSocketPath(await context.baseDir()));
    return { uid, gid };
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** `last` 0 or Infinity: no limit. */
function isWithin(id: number, first: number, last: number): boolean {
  return id >= first && (last === 0 || id <= last);
}

/** Runs `work` with the effective ids of a user, then becomes root again. Nothing else may run meanwhile. */
export async function actAs<Result>(identity: MailIdentity | undefined, work: () => Promise<Result>): Promise<Result> {
  const { setgroups, setegid, seteuid, getgroups } = process;
  if (identity === undefined || !setgroups || !setegid || !seteuid || !getgroups) return work();
  const earlierGroups = getgroups();
  setgroups([...identity.groups]);
  setegid(identity.gid);
  seteuid(identity.uid);
  try {
    return await work();
  } finally {
    seteuid(0);
    setegid(0);
    setgroups(earlierGroups);
  }
}
