// What a client is offered before login: from its settings, its address and whether TLS is on.
import type { AuthMechanism } from '#auth/client.js';
import type { SettingsOf } from '#config/define.js';
import type { SettingsSource } from '#config/settings-source.js';
import type { Peer } from '#ipc/peer.js';
import { tlsSettings } from '#service-kit/settings.js';
import type { PreAuthOffer } from './machine.js';
import { loginSettings } from './settings.js';

export function preAuthOffer(source: SettingsSource, peer: Peer, mechanisms: readonly AuthMechanism[]): PreAuthOffer {
  const { localIp, remoteIp } = peer;
  const settings = source.forConnection(peer.tls ? { localIp, remoteIp, localName: peer.tls.serverName } : { localIp, remoteIp });
  const login = settings.get(loginSettings);
  const tls = settings.get(tlsSettings);
  const isTls = peer.tls !== undefined;
  // `ssl = required` trusts this machine itself, and no network (Dovecot 2.3).
  const isLocal = peer.remoteIp === peer.localIp;
  const isSecured = isTls || (peer.isSecured && (tls.ssl !== 'required' || isLocal));
  return {
    greeting: login.login_greeting,
    isLiteralMinus: login.imap_literal_minus,
    retainsId: login.imap_id_retain,
    mechanisms,
    isTls,
    offersTls: !isTls && tls.ssl !== 'no' && tls.ssl_cert !== '',
    allowsPlaintext: isSecured || (!login.disable_plaintext_auth && tls.ssl !== 'required'),
    requiresTls: tls.ssl === 'required' && !isSecured,
    idReply: idReplyOf(login),
  };
}

const idReplies = new WeakMap<object, string>();

/** Settings are one object for all connections that they hold for. */
function idReplyOf(login: SettingsOf<typeof loginSettings>): string {
  const known = idReplies.get(login);
  if (known !== undefined) return known;
  const reply = idReply(login.imap_id_send);
  idReplies.set(login, reply);
  return reply;
}

/** imap_id_send: `name * version 1`; * is the default value, NIL when there are no fields. */
export function idReply(setting: string): string {
  const defaults: Readonly<Record<string, string>> = { name: 'Roost' };
  const words = setting.split(/\s+/).filter((word) => word !== '');
  const quote = (text: string): string => `"${text.replace(/[\u0000-\u001f\u007f]/g, '').replace(/["\\]/g, '\\$&')}"`;
  const pairs: string[] = [];
  for (let index = 0; index + 1 < words.length; index += 2) {
    const name = words[index] ?? '';
    const value = words[index + 1] === '*' ? defaults[name] : words[index + 1];
    if (value !== undefined) pairs.push(`${quote(name)} ${quote(value)}`);
  }
  return pairs.length === 0 ? 'NIL' : `(${pairs.join(' ')})`;
}
