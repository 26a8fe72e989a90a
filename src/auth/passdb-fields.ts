// The meaning of passdb extra fields: some change the user, some refuse the login, `userdb_*` go to prefetch, the others to the client.
import { BlockList, isIP } from 'node:net';
import { isYes } from './field-list.js';
import type { AuthState, Refusal } from './request.js';

/** Known from elsewhere, and refused rather than half done: the client would be logged in here instead of there. */
const proxyFields = new Set(['proxy', 'proxy_maybe']);
/** Steer this server and are none of the client's business. */
const consumed = new Set(['nopassword', 'password', 'password_noscheme']);

/**
 * Takes in one field. `name:protected` (2.4: `name:default`) keeps an earlier value.
 * @param value already expanded
 */
export function applyPassdbField(state: AuthState, rawName: string, value: string): void {
  const [, name = rawName, keeps] = /^(.*?)(:protected|:default)?$/.exec(rawName) ?? [];
  if (name.startsWith('userdb_')) {
    state.hasPrefetch = true;
    const key = name.slice('userdb_'.length);
    if (!keeps || !state.userdbFields.has(key)) state.userdbFields.set(key, value);
    return;
  }
  if (keeps && state.extraFields.has(name)) return;
  if (consumed.has(name)) return;
  switch (name) {
    case 'user':
      state.user = value;
      return;
    case 'username':
      state.user = state.user.includes('@') ? `${value}${state.user.slice(state.user.indexOf('@'))}` : value;
      return;
    case 'domain':
      state.user = `${state.user.replace(/@.*$/s, '')}@${value}`;
      return;
    case 'login_user':
      state.requestedUser = value;
      return;
    case 'noauthenticate':
      state.mayNotAuthenticate = true;
      return;
    case 'nodelay':
      state.isNoDelay = isYes(value);
      return;
    case 'delay_until':
      state.delayUntilMs = parseDelayUntil(value);
      return;
    case 'allow_nets':
    case 'allow_real_nets':
      if (!isInNets(state.facts.remoteIp, value)) {
        refuse(state, 'mismatch', 'mismatch', `${name} check failed: IP ${state.facts.remoteIp || '(unknown)'} not in allowed networks`);
      }
      return;
    case 'fail':
      refuse(state, 'mismatch', 'mismatch', `passdb refused the login: ${value}`, value);
      return;
    case 'user_disabled':
      if (isYes(value)) refuse(state, 'user_disabled', 'disabled', 'user is disabled');
      return;
    case 'pass_expired':
      if (isYes(value)) refuse(state, 'pass_expired', 'expired', 'password expired');
      return;
    default:
      if (proxyFields.has(name) && isYes(value))
        refuse(state, 'temp_fail', 'internal', `passdb field ${name}: proxying is not implemented yet`);
      state.extraFields.set(name, value);
  }
}

function refuse(state: AuthState, code: Refusal['code'], outcome: Refusal['outcome'], logText: string, reason?: string): void {
  // The first reason stays: later fields must not soften it.
  state.refusal ??= { code, outcome, logText, reason };
}

/** `unix seconds[+random extra seconds]`. */
function parseDelayUntil(value: string): number {
  const [, until, extra] = /^(\d+)(?:\+(\d+))?$/.exec(value) ?? [];
  if (until === undefined) return 0;
  return Number(until) * 1000 + Math.random() * Number(extra ?? 0) * 1000;
}

/** True when `ip` is in one of the nets: `10.0.0.0/8,::1,local`; `local` is a client without an IP. */
export function isInNets(ip: string, nets: string): boolean {
  for (const net of nets.split(/[\s,]+/)) {
    if (net === '') continue;
    if (net === 'local') {
      if (ip === '') return true;
    } else if (ip !== '' && isInNet(ip, net)) return true;
  }
  return false;
}

function isInNet(ip: string, net: string): boolean {
  const [address = '', bits] = net.split('/');
  const plain = ip.replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i, '');
  const family = isIP(address) === 4 ? 'ipv4' : 'ipv6';
  if (isIP(address) === 0 || isIP(address) !== isIP(plain)) return false;
  const widest = family === 'ipv4' ? 32 : 128;
  const prefix = bits === undefined ? widest : Number(bits);
  if (!Number.isInteger(prefix) || prefix < 0 || prefix > widest) return false;
  const list = new BlockList();
  list.addSubnet(address, prefix, family);
  return list.check(plain, family);
}
