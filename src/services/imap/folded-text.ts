// A folded session as one string (folded-sessions.ts): everything by position, as thousands of them are kept and names would be half of each.
import type { HandoffRequest, Peer } from '#ipc/peer.js';
import type { SessionCounters } from './counters.js';
import type { SessionState } from './session-state.js';

export interface FoldedText {
  /** Without what only the login needed. */
  readonly request: HandoffRequest;
  readonly state: SessionState;
}

type Ranges = readonly (readonly [number, number])[];
type PackedPeer = [Peer['remoteIp'], number, Peer['localIp'], number, Peer['tls'] | null, 0 | 1, 0 | 1];
type PackedView = [string, number, 0 | 1, Ranges, number, number, Ranges, number, number];
type Packed = [
  request: [string, string, number, string, PackedPeer, HandoffRequest['origin'] | null],
  tag: string,
  enabled: SessionState['enabled'],
  selected: PackedView | null,
  savedSearch: Ranges,
  counters: [number, number, number, number, number, number, number, number],
  octets: [number, number],
  times: [number, number, number],
];

export function packSession({ request, state }: FoldedText): string {
  const { service, user, loginPid, sessionId, peer, origin } = request;
  const { counters: c, selected } = state;
  const packed: Packed = [
    [service, user, loginPid, sessionId, packPeer(peer), origin ?? null],
    state.tag,
    state.enabled,
    selected === undefined ? null : packView(selected),
    state.savedSearch,
    [c.deleted, c.expunged, c.trashed, c.appended, c.fetchHdrCount, c.fetchHdrBytes, c.fetchBodyCount, c.fetchBodyBytes],
    [state.bytesRead, state.bytesWritten],
    [state.lastInputAtMs, state.idleSinceMs ?? 0, state.keepAliveAtMs ?? 0],
  ];
  return JSON.stringify(packed);
}

/** @param text of `packSession` in this process */
export function unpackSession(text: string): FoldedText {
  const packed: Packed = JSON.parse(text);
  const [head, tag, enabled, selected, savedSearch, counters, [bytesRead, bytesWritten], [lastInputAtMs, idleSinceMs, keepAliveAtMs]] =
    packed;
  const [service, user, loginPid, sessionId, peer, origin] = head;
  const request: HandoffRequest = {
    service,
    user,
    authPid: 0,
    authId: 0,
    cookie: '',
    loginPid,
    sessionId,
    peer: unpackPeer(peer),
    ...(origin === null ? {} : { origin }),
    fields: {},
  };
  const state: SessionState = {
    version: 1,
    tag,
    enabled,
    selected: selected === null ? undefined : unpackView(selected),
    savedSearch,
    counters: unpackCounters(counters),
    bytesRead,
    bytesWritten,
    lastInputAtMs,
    idleSinceMs,
    keepAliveAtMs,
  };
  return { request, state };
}

function packPeer({ remoteIp, remotePort, localIp, localPort, tls, isSecured, isTrusted }: Peer): PackedPeer {
  return [remoteIp, remotePort, localIp, localPort, tls ?? null, isSecured ? 1 : 0, isTrusted ? 1 : 0];
}

function unpackPeer([remoteIp, remotePort, localIp, localPort, tls, isSecured, isTrusted]: PackedPeer): Peer {
  return { remoteIp, remotePort, localIp, localPort, tls: tls ?? undefined, isSecured: isSecured === 1, isTrusted: isTrusted === 1 };
}

function packView({ name, view }: NonNullable<SessionState['selected']>): PackedView {
  const { uidValidity, isReadOnly, uids, uidNext, highestModSeq, recent, recentCount, keywordCount } = view;
  return [name, uidValidity, isReadOnly ? 1 : 0, uids, uidNext, highestModSeq, recent, recentCount, keywordCount];
}

function unpackView(packed: PackedView): NonNullable<SessionState['selected']> {
  const [name, uidValidity, isReadOnly, uids, uidNext, highestModSeq, recent, recentCount, keywordCount] = packed;
  return { name, view: { uidValidity, isReadOnly: isReadOnly === 1, uids, uidNext, highestModSeq, recent, recentCount, keywordCount } };
}

function unpackCounters([
  deleted,
  expunged,
  trashed,
  appended,
  fetchHdrCount,
  fetchHdrBytes,
  fetchBodyCount,
  fetchBodyBytes,
]: Packed[5]): SessionCounters {
  return { deleted, expunged, trashed, appended, fetchHdrCount, fetchHdrBytes, fetchBodyCount, fetchBodyBytes };
}
