// Refusals that login processes and mail processes in direct mode share.
import { setTimeout as sleep } from 'node:timers/promises';
import type { SettingsSource } from '#config/settings-source.js';
import type { HandoffRequest, Peer } from '#ipc/peer.js';
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
  const limit = userLimit(context.settings, peer);
  if (limit === undefined) return undefined;
  if ((await context.anvil.lookup(user, peer.remoteIp, service)) < limit) return undefined;
  // One that has just ended may not have been told yet.
  await sleep(goodbyeMs + slackMs);
  if ((await context.anvil.lookup(user, peer.remoteIp, service)) < limit) return undefined;
  const text = `Maximum number of connections from user+IP exceeded (mail_max_userip_connections=${limit})`;
  return { kind: 'refused', refusal: 'user-limit', clientText: text, logText: text };
}

/** mail_max_userip_connections as it holds for this client; undefined for no limit. */
export function userLimit(settings: SettingsSource, { localIp, remoteIp }: Pick<Peer, 'localIp' | 'remoteIp'>): number | undefined {
  const limit = settings.forConnection({ localIp, remoteIp }).get(loginSettings).mail_max_userip_connections;
  return limit === 0 || !Number.isFinite(limit) || remoteIp === '' ? undefined : limit;
}

/** What a client is told that the process turns away at the door: the whole line. */
export function refusalText(protocol: 'imap' | 'pop3', reason: string): string {
  return protocol === 'imap' ? `* BYE [UNAVAILABLE] ${reason}\r\n` : `-ERR [SYS/TEMP] ${reason}\r\n`;
}
