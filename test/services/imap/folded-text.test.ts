import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { HandoffRequest } from '#ipc/peer.js';
import { packSession, unpackSession } from '#services/imap/folded-text.js';
import type { SessionState } from '#services/imap/session-state.js';

const count = fc.nat();
const text = fc.string({ unit: 'grapheme' });
const ranges = fc.array(fc.tuple(count, count));
const maybe = <Value>(value: fc.Arbitrary<Value>): fc.Arbitrary<Value | undefined> => fc.option(value, { nil: undefined });

const tls = fc.record({ protocol: text, cipher: text, bits: count, serverName: text, certUsername: fc.constant('x') });
const peer = fc.record({
  remoteIp: text,
  remotePort: count,
  localIp: text,
  localPort: count,
  tls: maybe(tls),
  isSecured: fc.boolean(),
  isTrusted: fc.boolean(),
});
const origin = fc.record({ service: text, listener: text, seal: text });
const request: fc.Arbitrary<HandoffRequest> = fc
  .record({ user: text, loginPid: count, sessionId: text, peer, origin: maybe(origin) })
  .map(({ origin: given, ...facts }) => ({
    service: 'imap',
    authPid: 0,
    authId: 0,
    cookie: '',
    fields: {},
    ...facts,
    ...(given === undefined ? {} : { origin: given }),
  }));
const view = fc.record({
  uidValidity: count,
  isReadOnly: fc.boolean(),
  uids: ranges,
  uidNext: count,
  highestModSeq: fc.maxSafeNat(),
  recent: ranges,
  recentCount: count,
  keywordCount: count,
});
const counters = fc.record({
  deleted: count,
  expunged: count,
  trashed: count,
  appended: count,
  fetchHdrCount: count,
  fetchHdrBytes: fc.maxSafeNat(),
  fetchBodyCount: count,
  fetchBodyBytes: fc.maxSafeNat(),
});
const state: fc.Arbitrary<SessionState> = fc.record({
  version: fc.constant(1 as const),
  tag: text,
  enabled: fc.subarray(['CONDSTORE', 'QRESYNC', 'UTF8=ACCEPT', 'IMAP4REV2', 'UIDONLY'] as const),
  selected: maybe(fc.record({ name: text, view })),
  savedSearch: ranges,
  counters,
  bytesRead: fc.maxSafeNat(),
  bytesWritten: fc.maxSafeNat(),
  lastInputAtMs: fc.maxSafeNat(),
  idleSinceMs: fc.maxSafeNat(),
  keepAliveAtMs: fc.maxSafeNat(),
});

describe('The text of a folded session', () => {
  it('is all of it', () => {
    fc.assert(
      fc.property(request, state, (givenRequest, givenState) => {
        const whole = structuredClone({ request: givenRequest, state: givenState });
        assert.deepEqual(unpackSession(packSession(whole)), whole);
      }),
    );
  });

  it('has nothing of what only the login needed', () => {
    fc.assert(
      fc.property(request, state, (givenRequest, givenState) => {
        const whole = { ...givenRequest, cookie: 'SECRET', claim: 'SECRET', fields: { tag: 'SECRET' } };
        assert.doesNotMatch(packSession({ request: whole, state: givenState }), /SECRET/);
      }),
    );
  });

  it('is short', () => {
    const [givenRequest] = fc.sample(request, { numRuns: 1, seed: 1 });
    const [givenState] = fc.sample(state, { numRuns: 1, seed: 1 });
    assert.ok(givenRequest !== undefined && givenState !== undefined);
    const usual = packSession({
      request: {
        ...givenRequest,
        user: 'somebody@example.org',
        sessionId: 'MVs2+OBgJrp/AAAB',
        peer: {
          remoteIp: '192.0.2.100',
          remotePort: 50_000,
          localIp: '192.0.2.1',
          localPort: 143,
          tls: undefined,
          isSecured: true,
          isTrusted: false,
        },
        origin: { service: 'imap-login', listener: 'imap', seal: 'x'.repeat(44) },
      },
      state: {
        ...givenState,
        tag: 'a0001',
        enabled: ['CONDSTORE', 'QRESYNC'],
        selected: {
          name: 'INBOX',
          view: {
            uidValidity: 1_700_000_000,
            isReadOnly: false,
            uids: [
              [1, 5],
              [9, 1_000],
            ],
            uidNext: 1_001,
            highestModSeq: 1_700_000_000_000_000,
            recent: [],
            recentCount: 0,
            keywordCount: 3,
          },
        },
        savedSearch: [],
      },
    });
    assert.ok(usual.length < 600, `${usual.length} octets`);
  });
});
