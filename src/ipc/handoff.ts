// Login hands a logged-in connection to a mail process (docs/ipc.md, "Hand-off"). Both ways start with a connection to the mail process's
// private socket, whose first frame says what it is:
//   channel   one per pair of processes, kept: each plain connection is one `handoff` frame, its descriptor travels on the datagram socket
//   relay     one per TLS connection: the frame, the answer, then the client's octets in both directions
import type { HandoffRequest, Origin, Peer, TlsFacts } from './peer.js';

/** Octets a client may have sent ahead of the hand-off. */
export const maxReadAheadBytes = 128 * 1024;
/** A request with that many octets in base64, and room for the rest. */
export const maxHandoffFrameBytes = 256 * 1024;

export interface ChannelMessage {
  readonly kind: 'channel';
  readonly pid: number;
}

export interface HandoffMessage {
  readonly kind: 'handoff';
  readonly id: number;
  /** Of the datagram that carries the descriptor. */
  readonly token: string;
  /** The slot that the master reserved. */
  readonly ticket: number;
  readonly request: HandoffRequest;
  /** Octets read from the client after the login command, base64. */
  readonly readAhead: string;
}

export interface RelayMessage {
  readonly kind: 'relay';
  readonly ticket: number;
  readonly request: HandoffRequest;
  readonly readAhead: string;
}

/** `full`, `draining`: ask the master again. `no-descriptor`: it did not arrive, relay instead. `invalid`: the message is not understood. */
export type RefusalCode = 'full' | 'draining' | 'no-descriptor' | 'invalid';

/** `id` is that of the handoff; 0 on a relay. */
export type HandoffReply =
  | { readonly kind: 'taken'; readonly id: number }
  | { readonly kind: 'refused'; readonly id: number; readonly code: RefusalCode };

type Fields = Readonly<Record<string, unknown>>;

function asFields(value: unknown): Fields | undefined {
  // Not copied: it comes from JSON, and nobody else has it.
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : undefined;
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

/** Undefined when it is none of the three. Login processes are trusted less than mail processes, so every field is looked at. */
export function parseHandoffMessage(value: unknown): ChannelMessage | HandoffMessage | RelayMessage | undefined {
  const message = asFields(value);
  if (message === undefined) return undefined;
  if (message['kind'] === 'channel') return isCount(message['pid']) ? { kind: 'channel', pid: message['pid'] } : undefined;
  const { kind, ticket, readAhead } = message;
  const request = parseRequest(message['request']);
  if (request === undefined || !isCount(ticket) || !isText(readAhead)) return undefined;
  if (kind === 'relay') return { kind, ticket, request, readAhead };
  const { id, token } = message;
  if (kind !== 'handoff' || !isCount(id) || !isText(token)) return undefined;
  return { kind, id, token, ticket, request, readAhead };
}

/** Undefined when it is none. */
export function parseHandoffReply(value: unknown): HandoffReply | undefined {
  const reply = asFields(value);
  if (reply === undefined || !isCount(reply['id'])) return undefined;
  const id = reply['id'];
  if (reply['kind'] === 'taken') return { kind: 'taken', id };
  if (reply['kind'] !== 'refused') return undefined;
  const code = reply['code'];
  return code === 'full' || code === 'draining' || code === 'no-descriptor' || code === 'invalid'
    ? { kind: 'refused', id, code }
    : undefined;
}

function parseRequest(value: unknown): HandoffRequest | undefined {
  const request = asFields(value);
  const peer = parsePeer(request?.['peer']);
  const fields = asFields(request?.['fields']);
  if (request === undefined || peer === undefined || fields === undefined) return undefined;
  const { service, user, authPid, authId, cookie, loginPid, sessionId, claim } = request;
  if (!isText(service) || !isText(user) || !isText(cookie) || !isText(sessionId)) return undefined;
  if (claim !== undefined && !isText(claim)) return undefined;
  const origin = request['origin'] === undefined ? undefined : parseOrigin(request['origin']);
  if (request['origin'] !== undefined && origin === undefined) return undefined;
  if (!isCount(authPid) || !isCount(authId) || !isCount(loginPid)) return undefined;
  const texts: Record<string, string> = {};
  for (const [key, text] of Object.entries(fields)) {
    if (!isText(text)) return undefined;
    texts[key] = text;
  }
  return { service, user, authPid, authId, cookie, loginPid, claim, sessionId, peer, origin, fields: texts };
}

function parseOrigin(value: unknown): Origin | undefined {
  const origin = asFields(value);
  const { service, listener, seal } = origin ?? {};
  return isText(service) && isText(listener) && isText(seal) ? { service, listener, seal } : undefined;
}

function parsePeer(value: unknown): Peer | undefined {
  const peer = asFields(value);
  if (peer === undefined) return undefined;
  const { remoteIp, remotePort, localIp, localPort, isSecured, isTrusted } = peer;
  if (!isText(remoteIp) || !isText(localIp) || !isCount(remotePort) || !isCount(localPort)) return undefined;
  if (typeof isSecured !== 'boolean' || typeof isTrusted !== 'boolean') return undefined;
  const tls = peer['tls'] === undefined ? undefined : parseTls(peer['tls']);
  if (peer['tls'] !== undefined && tls === undefined) return undefined;
  return { remoteIp, remotePort, localIp, localPort, tls, isSecured, isTrusted };
}

function parseTls(value: unknown): TlsFacts | undefined {
  const tls = asFields(value);
  if (tls === undefined) return undefined;
  const { protocol, cipher, bits, serverName, certUsername } = tls;
  if (!isText(protocol) || !isText(cipher) || !isCount(bits) || !isText(serverName)) return undefined;
  if (certUsername !== undefined && !isText(certUsername)) return undefined;
  return { protocol, cipher, bits, serverName, certUsername };
}
