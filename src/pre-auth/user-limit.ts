// Refusals that login processes and mail processes in direct mode share.
import { setTimeout as sleep } from 'node:timers/promises';
import type { HandoffRequest } from '#ipc/peer.js';
import { goodbyeMs } from '#service-kit/anvil-client.js';
import type { ServiceContext } from '#service-kit/role.js';
import type { LoginResult } from './options.js';
import { loginSettings } from './settings.js';

/** For anvil to hear of it. */
const slackMs = 30;

/**
 * mail_max_userip_connections: sessions of this user from this address. The count includes only sessions that have started, so that parallel
 * logins can overshoot a little.
 * @returns undefined when the client may go on
 */
export async function refuseOverUserLimit(
  context: Pick<ServiceContext, 'settings' | 'anvil'>,
  { user, peer, service }: HandoffRequest,
): Promise<LoginResult | undefined> {
  const facts = { localIp: peer.localIp, remoteIp: peer.remoteIp };
  const limit = context.settings.forConnection(facts).get(loginSettings).mail_max_userip_connections;
  if (limit === 0 || !Number.isFinite(limit) || peer.remoteIp === '') return undefined;
  if ((await context.anvil.lookup(user, peer.remoteIp, service)) < limit) return undefined;
  // One that has just ended may not have been told yet.
  await sleep(goodbyeMs + slackMs);
  if ((await context.anvil.lookup(user, peer.remoteIp, service)) < limit) return undefined;
  const text = `Maximum number of connections from user+IP exceeded (mail_max_userip_connections=${limit})`;
  return { kind: 'refused', refusal: 'user-limit', clientText: text, logText: text };
}

/** What a client is told that the process turns away at the door: the whole line. */
export function refusalText(protocol: 'imap' | 'pop3', reason: string): string {
  return protocol === 'imap' ? `* BYE [UNAVAILABLE] ${reason}\r\n` : `-ERR [SYS/TEMP] ${reason}\r\n`;
}
