// The auth client protocol and the auth master protocol as both ends see them.
import type { Peer } from '#ipc/peer.js';
import type { AuthFailure } from './client.js';
import { noFacts, type RequestFacts } from './request.js';

export const clientProtocol = { major: 1, minor: 2 } as const;
export const masterProtocol = { major: 1, minor: 1 } as const;

/**
 * Leases (docs/ipc.md, "auth"): the parameter of a USER request that asks for one, and of its answer, there with the milliseconds it holds; and
 * the line that ends all that a connection has, which is sent back when they are forgotten. Other implementations neither send nor see them.
 */
export const leaseParameter = 'roost_lease';
export const leasesVoid = 'ROOST-LEASES-VOID';
/** No answer of auth is used longer without asking, ms. */
export const longestLeaseMs = 10_000;

/** Longest time from AUTH to its last reply, ms; a client gives up a little later, so that it hears why. */
export const authRequestTimeoutMs = 150_000;
export const authReplyTimeoutMs = 155_000;

/** Who connects, told by the last part of the socket's name: `login/login`, `auth-client`, `private/auth`, `auth-master`. */
export type AuthListenerKind =
  | 'client'
  | 'login'
  | 'master'
  | 'userdb'
  /** Dovecot's socket for its internal token mechanism, which does not exist here: nobody is served on it. */
  | 'token';

export function authListenerKind(path: string): AuthListenerKind {
  const base = path.slice(path.lastIndexOf('/') + 1);
  const suffix = base.slice(base.lastIndexOf('-') + 1);
  if (suffix === 'tokenlogin') return 'token';
  if (suffix === 'login' || suffix === 'master' || suffix === 'userdb') return suffix;
  return 'client';
}

const failureCodes: ReadonlySet<string> = new Set<AuthFailure>([
  'temp_fail',
  'authz_fail',
  'user_disabled',
  'pass_expired',
  'invalid_base64',
  'login_disabled',
  'auth_mech_invalid',
  'auth_mech_ssl_required',
  'anonymous_denied',
]);
/** How older servers spell some of them. */
const oldCodes: Readonly<Record<string, AuthFailure>> = {
  temp: 'temp_fail',
  authz: 'authz_fail',
  user_disabled: 'user_disabled',
  pass_expired: 'pass_expired',
};

/** The code of a FAIL line's parameters. */
export function failureFromParameters(parameters: ReadonlyMap<string, string>): AuthFailure {
  const code = parameters.get('code');
  if (code !== undefined && isFailure(code)) return code;
  for (const [name, failure] of Object.entries(oldCodes)) if (parameters.has(name)) return failure;
  return 'mismatch';
}

const isFailure = (code: string): code is AuthFailure => failureCodes.has(code);

/** Parameters of an AUTH line that tell about the connection. */
export function peerParameters(peer: Peer): string[] {
  const parameters: string[] = [];
  if (peer.localIp !== '') parameters.push(`lip=${peer.localIp}`);
  if (peer.remoteIp !== '') parameters.push(`rip=${peer.remoteIp}`);
  if (peer.localPort !== 0) parameters.push(`lport=${peer.localPort}`);
  if (peer.remotePort !== 0) parameters.push(`rport=${peer.remotePort}`);
  if (peer.tls) {
    parameters.push(
      'secured=tls',
      'transport=TLS',
      `tls_cipher=${peer.tls.cipher}`,
      `tls_cipher_bits=${peer.tls.bits}`,
      `tls_protocol=${peer.tls.protocol}`,
    );
    if (peer.tls.serverName !== '') parameters.push(`local_name=${peer.tls.serverName}`);
    if (peer.tls.certUsername !== undefined) parameters.push('valid-client-cert', `cert_username=${peer.tls.certUsername}`);
  } else if (peer.isSecured) {
    parameters.push('secured', 'transport=trusted');
  } else {
    parameters.push('transport=insecure');
  }
  if (peer.isTrusted) parameters.push('no-penalty');
  return parameters;
}

const portOf = (text: string | undefined): number => (text !== undefined && /^\d{1,5}$/.test(text) ? Number(text) : 0);

/** Facts from the parameters of AUTH, USER and PASS lines; what is not known is ignored. */
export function factsFromParameters(parameters: ReadonlyMap<string, string>, mechanism: string): RequestFacts {
  const secured = parameters.get('secured');
  const transport = parameters.get('transport');
  const isTls = secured === 'tls' || secured === 'TLS' || transport === 'TLS';
  return {
    ...noFacts,
    mechanism,
    service: parameters.get('service') ?? '',
    localIp: parameters.get('lip') ?? '',
    remoteIp: parameters.get('rip') ?? '',
    localPort: portOf(parameters.get('lport')),
    remotePort: portOf(parameters.get('rport')),
    localName: parameters.get('local_name') ?? '',
    clientId: parameters.get('client_id') ?? '',
    sessionId: parameters.get('session') ?? '',
    secured: isTls ? 'TLS' : secured !== undefined || transport === 'trusted' ? 'secured' : '',
    certUsername: parameters.get('cert_username') ?? '',
    hasValidClientCert: parameters.has('valid-client-cert'),
    isPenaltyFree: parameters.has('no-penalty'),
    isDebug: parameters.has('debug'),
  };
}
