// %variables in the context of authentication: which name has which value.
import type { AuthState } from './request.js';

/** One-letter names to long ones. */
const longNames: Readonly<Record<string, string>> = {
  u: 'user',
  n: 'username',
  d: 'domain',
  s: 'service',
  r: 'remote_ip',
  l: 'local_ip',
  rip: 'remote_ip',
  lip: 'local_ip',
  a: 'local_port',
  b: 'remote_port',
  lport: 'local_port',
  rport: 'remote_port',
  m: 'mechanism',
  mech: 'mechanism',
  c: 'secured',
  k: 'cert',
  w: 'password',
  h: 'home',
  p: 'pid',
};

const afterFirst = (text: string, separator: string): string => {
  const at = text.indexOf(separator);
  return at < 0 ? '' : text.slice(at + 1);
};
const beforeFirst = (text: string, separator: string): string => {
  const at = text.indexOf(separator);
  return at < 0 ? text : text.slice(0, at);
};

/** The value of a variable (`u`, `user`, `passdb:x`), or undefined when there is no such variable. */
export function authVariable(state: AuthState, name: string): string | undefined {
  const { facts, user } = state;
  const [prefix = '', key = '', fallback = ''] = name.split(':');
  if (prefix === 'passdb' && key !== '') return state.extraFields.get(key) ?? fallback;
  if (prefix === 'userdb' && key !== '') return state.userdbFields.get(key) ?? fallback;
  const table: Readonly<Record<string, string | undefined>> = {
    user,
    username: beforeFirst(user, '@'),
    domain: afterFirst(user, '@'),
    domain_first: beforeFirst(afterFirst(user, '@'), '@'),
    domain_last: user.includes('@') ? user.slice(user.lastIndexOf('@') + 1) : '',
    service: facts.service,
    remote_ip: facts.remoteIp,
    local_ip: facts.localIp,
    real_rip: facts.remoteIp,
    real_lip: facts.localIp,
    real_remote_ip: facts.remoteIp,
    real_local_ip: facts.localIp,
    remote_port: facts.remotePort === 0 ? '' : String(facts.remotePort),
    local_port: facts.localPort === 0 ? '' : String(facts.localPort),
    mechanism: facts.mechanism,
    secured: facts.secured,
    cert: facts.hasValidClientCert ? 'valid' : '',
    password: state.password,
    local_name: facts.localName,
    client_id: facts.clientId,
    session: facts.sessionId,
    master_user: state.masterUser,
    auth_user: state.masterUser === '' ? user : state.masterUser,
    auth_username: beforeFirst(state.masterUser === '' ? user : state.masterUser, '@'),
    auth_domain: afterFirst(state.masterUser === '' ? user : state.masterUser, '@'),
    login_user: state.requestedUser,
    login_username: beforeFirst(state.requestedUser, '@'),
    login_domain: afterFirst(state.requestedUser, '@'),
    original_user: state.originalUser,
    original_username: beforeFirst(state.originalUser, '@'),
    original_domain: afterFirst(state.originalUser, '@'),
    home: state.userdbFields.get('home'),
    pid: String(process.pid),
  };
  return table[longNames[name] ?? name];
}
