import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseHandoffMessage, parseHandoffReply, parseMoveMessage } from '#ipc/handoff.js';

const peer = {
  remoteIp: '192.0.2.1',
  remotePort: 1234,
  localIp: '198.51.100.1',
  localPort: 993,
  tls: { protocol: 'TLSv1.3', cipher: 'TLS_AES_256_GCM_SHA384', bits: 256, serverName: '', certUsername: 'anna' },
  isSecured: true,
  isTrusted: false,
};
const request = {
  service: 'imap',
  user: 'anna',
  authPid: 1,
  authId: 2,
  cookie: 'c',
  loginPid: 3,
  sessionId: 's',
  peer,
  fields: { tag: 'a1' },
};
const handoff = { kind: 'handoff', id: 1, token: 't', ticket: 9, request, readAhead: '' };
const relay = { kind: 'relay', ticket: 9, request, readAhead: 'YQ==' };
const stream = { kind: 'stream', id: 0xffff_ffff, ticket: 9, request, readAhead: '' };
const moved = { kind: 'moved', id: 3, token: 't', origin: { service: 'imap-login', listener: 'imaps', seal: 's' } };
const overWire = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

/** Every value of an object that may be changed, as a path. */
function pathsOf(value: unknown, path: readonly string[] = []): (readonly string[])[] {
  if (typeof value !== 'object' || value === null) return [path];
  return [...(path.length === 0 ? [] : [path]), ...Object.entries(value).flatMap(([key, inner]) => pathsOf(inner, [...path, key]))];
}

function withValue(value: unknown, [key = '', ...rest]: readonly string[], changed: unknown): unknown {
  if (typeof value !== 'object' || value === null) return changed;
  const inner = Object.entries(value).find(([name]) => name === key)?.[1];
  return { ...value, [key]: rest.length === 0 ? changed : withValue(inner, rest, changed) };
}

describe('hand-off message', () => {
  for (const message of [
    handoff,
    relay,
    stream,
    moved,
    { kind: 'moved', id: 3, token: '' },
    { kind: 'channel', pid: 7 },
    { kind: 'streams', pid: 7 },
    { ...relay, request: { ...request, peer: { ...peer, tls: undefined } } },
  ]) {
    it(`${message.kind} comes back as it was sent`, () =>
      assert.deepEqual(overWire(parseHandoffMessage(overWire(message))), overWire(message)));
  }

  for (const message of [handoff, relay, stream, moved]) {
    for (const path of pathsOf(message)) {
      it(`${message.kind} is refused with a wrong ${path.join('.')}`, () => {
        for (const wrong of [-1, 1.5, [], null]) assert.equal(parseHandoffMessage(overWire(withValue(message, path, wrong))), undefined);
      });
    }
  }

  it('of any shape is taken or refused, never thrown at', () => {
    fc.assert(
      fc.property(fc.constantFrom(...pathsOf(handoff)), fc.jsonValue(), fc.jsonValue(), (path, changed, whole) => {
        parseHandoffMessage(overWire(withValue(handoff, path, changed)));
        parseHandoffMessage(whole);
        parseHandoffReply(whole);
        parseMoveMessage(whole);
      }),
    );
  });
});

describe('stream', () => {
  it('may be asked to move by its id', () => assert.deepEqual(parseMoveMessage({ kind: 'move', id: 5 }), { kind: 'move', id: 5 }));
  for (const message of [{ kind: 'move' }, { kind: 'move', id: 2 ** 32 }, { kind: 'moved', id: 5 }, null]) {
    it(`may not by ${JSON.stringify(message)}`, () => assert.equal(parseMoveMessage(message), undefined));
  }
  it('has an id of 32 bits', () => assert.equal(parseHandoffMessage({ ...stream, id: 2 ** 32 }), undefined));
});

describe('hand-off reply', () => {
  for (const reply of [
    { kind: 'taken', id: 0 },
    { kind: 'refused', id: 5, code: 'draining' },
  ]) {
    it(`${JSON.stringify(reply)} is understood`, () => assert.deepEqual(parseHandoffReply(reply), reply));
  }
  for (const reply of [null, {}, { kind: 'taken' }, { kind: 'refused', id: 1, code: 'other' }, { kind: 'maybe', id: 1 }]) {
    it(`${JSON.stringify(reply)} is not`, () => assert.equal(parseHandoffReply(reply), undefined));
  }
});
