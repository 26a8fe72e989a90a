// Sessions that anvil knows, and which of them an administrator means.
import { isIP } from 'node:net';
import { matchesGlob } from '#auth/database.js';
import { AnvilError, type ConnectedSession, listSessions } from '#ipc/anvil-admin.js';
import { NetworkList } from '#service-kit/addresses.js';
import type { Context } from './context.js';
import { AdminError } from './exit-codes.js';

/** @throws AdminError when there is no server to ask */
export async function findSessions(context: Context, filters: readonly string[]): Promise<ConnectedSession[]> {
  const networks = filters.filter(isNetwork);
  const masks = filters.filter((filter) => !isNetwork(filter));
  const addresses = new NetworkList(networks);
  const sessions = await asking(async () => listSessions(await context.baseDir()));
  return sessions
    .filter(({ user, remoteIp }) => {
      if (masks.length > 0 && !masks.some((mask) => matchesGlob(mask, user))) return false;
      return networks.length === 0 || addresses.includes(remoteIp);
    })
    .sort((a, b) => compare(a.user, b.user) || compare(a.service, b.service) || a.pid - b.pid);
}

/** Sessions of one user in one service, in the order given. */
export function groupSessions(sessions: readonly ConnectedSession[]): readonly (readonly ConnectedSession[])[] {
  const groups = new Map<string, ConnectedSession[]>();
  for (const session of sessions) {
    const key = `${session.service}\0${session.user}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [session]);
    else group.push(session);
  }
  return [...groups.values()];
}

/** Runs a question to anvil. @throws AdminError for its errors */
export async function asking<Answer>(question: () => Promise<Answer>): Promise<Answer> {
  try {
    return await question();
  } catch (cause) {
    if (!(cause instanceof AnvilError)) throw cause;
    throw new AdminError('temporary', `${cause.message}${cause.code === 'unreachable' ? ' (is Roost running?)' : ''}`, { cause });
  }
}

function isNetwork(text: string): boolean {
  const [address = '', bits] = text.split('/');
  return isIP(address) !== 0 && (bits === undefined || /^\d{1,3}$/.test(bits));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
