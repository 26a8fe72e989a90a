import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { it } from 'node:test';
import { duplicateDescriptor, openSocketPair } from '#ipc/handle-pass.js';
import type { Peer } from '#ipc/peer.js';
import { originText } from '#service-kit/origin.js';

const tls = { protocol: 'TLSv1.3', cipher: 'x', bits: 256, serverName: 'mail.example', certUsername: 'anna' };
const peer: Peer = { remoteIp: '192.0.2.1', remotePort: 1, localIp: '192.0.2.2', localPort: 143, tls, isSecured: true, isTrusted: false };
const origin = { service: 'imap-login', listener: 'imap' };

it('What is sealed about a connection is different for each fact and each socket', () => {
  const [one, two] = openSocketPair();
  const copy = duplicateDescriptor(one);
  try {
    const texts = [
      originText(origin, peer, one),
      originText(origin, peer, two),
      originText({ ...origin, service: 'other' }, peer, one),
      originText({ ...origin, listener: 'imaps' }, peer, one),
      originText(origin, { ...peer, remoteIp: '192.0.2.3' }, one),
      originText(origin, { ...peer, remotePort: 2 }, one),
      originText(origin, { ...peer, localIp: '192.0.2.1' }, one),
      originText(origin, { ...peer, localPort: 993 }, one),
      originText(origin, { ...peer, isSecured: false }, one),
      originText(origin, { ...peer, isTrusted: true }, one),
      originText(origin, { ...peer, tls: undefined }, one),
      originText(origin, { ...peer, tls: { ...tls, certUsername: 'boss' } }, one),
      originText(origin, { ...peer, tls: { ...tls, certUsername: undefined } }, one),
      originText(origin, { ...peer, tls: { ...tls, serverName: 'other' } }, one),
    ];
    assert.equal(new Set(texts).size, texts.length);
    // Another descriptor of the same socket, as the receiver has it.
    assert.equal(originText(origin, peer, copy), texts[0]);
  } finally {
    for (const fd of [one, two, copy]) closeSync(fd);
  }
});
