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

/** Each is worked out when it is asked for: most templates have one. */
const values: ReadonlyMap<string, (state: AuthState) => string | undefined> = new Map(
  Object.entries<(state: AuthState) => string | undefined>({
    user: ({ user }) => user,
    username: ({ user }) => beforeFirst(user, '@'),
    domain: ({ user }) => afterFirst(user, '@'),
    domain_first: ({ user }) => beforeFirst(afterFirst(user, '@'), '@'),
    domain_last: ({ user }) => (user.includes('@') ? user.slice(user.lastIndexOf('@') + 1) : ''),
    service: ({ facts }) => facts.service,
    remote_ip: ({ facts }) => facts.remoteIp,
    local_ip: ({ facts }) => facts.localIp,
    real_rip: ({ facts }) => facts.remoteIp,
    real_lip: ({ facts }) => facts.localIp,
    real_remote_ip: ({ facts }) => facts.remoteIp,
    real_local_ip: ({ facts }) => facts.localIp,
    remote_port: ({ facts }) => (facts.remotePort === 0 ? '' : String(facts.remotePort)),
    local_port: ({ facts }) => (facts.localPort === 0 ? '' : String(facts.localPort)),
    mechanism: ({ facts }) => facts.mechanism,
    secured: ({ facts }) => facts.secured,
    cert: ({ facts }) => (facts.hasValidClientCert ? 'valid' : ''),
    password: (state) => state.password,
    local_name: ({ facts }) => facts.localName,
    client_id: ({ facts }) => facts.clientId,
    session: ({ facts }) => facts.sessionId,
    master_user: (state) => state.masterUser,
    auth_user: (state) => (state.masterUser === '' ? state.user : state.masterUser),
    auth_username: (state) => beforeFirst(state.masterUser === '' ? state.user : state.masterUser, '@'),
    auth_domain: (state) => afterFirst(state.masterUser === '' ? state.user : state.masterUser, '@'),
    login_user: (state) => state.requestedUser,
    login_username: (state) => beforeFirst(state.requestedUser, '@'),
    login_domain: (state) => afterFirst(state.requestedUser, '@'),
    original_user: (state) => state.originalUser,
    original_username: (state) => beforeFirst(state.originalUser, '@'),
    original_domain: (state) => afterFirst(state.originalUser, '@'),
    home: (state) => state.userdbFields.get('home'),
    pid: () => String(process.pid),
  }),
);

/** The value of a variable (`u`, `user`, `passdb:x`), or undefined when there is no such variable. */
export function authVariable(state: AuthState, name: string): string | undefined {
  if (name.includes(':')) {
    const [prefix, key = '', fallback = ''] = name.split(':');
    if (prefix === 'passdb' && key !== '') return state.extraFields.get(key) ?? fallback;
    if (prefix === 'userdb' && key !== '') return state.userdbFields.get(key) ?? fallback;
  }
  return values.get(longNames[name] ?? name)?.(state);
}
