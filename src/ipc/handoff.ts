// Login hands a logged-in connection to a mail process (docs/ipc.md, "Hand-off"). Both ways start with a connection to the mail process's
// private socket, whose first frame says what it is:
//   channel   one per pair of processes, kept: each connection is one `handoff` frame, with its TLS 1.3 if it has one; its descriptor travels on the
//             datagram socket
//   streams   one per pair of processes, kept: each connection with an older TLS is one `stream` frame, its octets travel beside it (stream-channel.ts)
//   relay     one per connection where descriptors cannot be passed: the frame, the answer, then the client's octets in both directions
import type { HandoffRequest, Origin, Peer, TlsFacts } from './peer.js';
import { parseTlsState, type TlsState } from './tls-state.js';

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
  /** The connection's TLS goes on in the mail process; undefined for a plain one. */
  readonly tls?: TlsState | undefined;
}

export interface StreamsMessage {
  readonly kind: 'streams';
  readonly pid: number;
}

/** `id` is that of the stream too. */
export interface StreamMessage {
  readonly kind: 'stream';
  readonly id: number;
  readonly ticket: number;
  readonly request: HandoffRequest;
  readonly readAhead: string;
}

/** Mail process to login: this stream shall get a descriptor of its own. From here on the mail process sends nothing for it. */
export interface MoveMessage {
  readonly kind: 'move';
  readonly id: number;
}

/** The answer. With a token the stream is no longer one; its octets go on over the descriptor that came with it. */
export interface MovedMessage {
  readonly kind: 'moved';
  readonly id: number;
  /** '' when it stays a stream. */
  readonly token: string;
  /** As in the request, for the descriptor. */
  readonly origin?: Origin | undefined;
}

export interface RelayMessage {
  readonly kind: 'relay';
  readonly ticket: number;
  readonly request: HandoffRequest;
  readonly readAhead: string;
}

/** Ids have 32 bits; they begin at 1. */
export const maxStreamId = 0xffff_ffff;

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

/** A stream's id in its frames. */
function isStreamId(value: unknown): value is number {
  return isCount(value) && value <= maxStreamId;
}

/** Undefined when it is none of these. Login processes are trusted less than mail processes, so every field is looked at. */
export function parseHandoffMessage(
  value: unknown,
): ChannelMessage | StreamsMessage | HandoffMessage | StreamMessage | RelayMessage | MovedMessage | undefined {
  const message = asFields(value);
  if (message === undefined) return undefined;
  const { kind, ticket, readAhead } = message;
  if (kind === 'channel' || kind === 'streams') return isCount(message['pid']) ? { kind, pid: message['pid'] } : undefined;
  if (kind === 'moved') return parseMoved(message);
  const request = parseRequest(message['request']);
  if (request === undefined || !isCount(ticket) || !isText(readAhead)) return undefined;
  if (kind === 'relay') return { kind, ticket, request, readAhead };
  const { id, token } = message;
  if (kind === 'stream') return isStreamId(id) ? { kind, id, ticket, request, readAhead } : undefined;
  if (kind !== 'handoff' || !isCount(id) || !isText(token)) return undefined;
  const tls = message['tls'] === undefined ? undefined : parseTlsState(message['tls']);
  if (message['tls'] !== undefined && tls === undefined) return undefined;
  return { kind, id, token, ticket, request, readAhead, tls };
}

function parseMoved({ id, token, origin }: Fields): MovedMessage | undefined {
  const parsed = origin === undefined ? undefined : parseOrigin(origin);
  if (!isStreamId(id) || !isText(token) || (origin !== undefined && parsed === undefined)) return undefined;
  return { kind: 'moved', id, token, origin: parsed };
}

/** Undefined when it is none. */
export function parseMoveMessage(value: unknown): MoveMessage | undefined {
  const message = asFields(value);
  return message?.['kind'] === 'move' && isStreamId(message['id']) ? { kind: 'move', id: message['id'] } : undefined;
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
