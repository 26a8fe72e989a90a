import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { unpackSettings } from '#config/pack.js';
import { tlsSettings } from '#service-kit/settings.js';
import { cipherBits, contextOptions, TlsContexts, upgradeToTls } from '#service-kit/tls.js';
import { makeSelfSigned } from '#services/master/dev/self-signed.js';
import { testCertificate } from './test-certificate.js';

const source = (values: Readonly<Record<string, string>>) =>
  unpackSettings({ version: 1, groups: ['tls'], kinds: [], layers: [{ filter: {}, values, sections: [] }] });
const usable = { ssl_cert: testCertificate.cert, ssl_key: testCertificate.key };
const facts = { localIp: '127.0.0.1', remoteIp: '127.0.0.1' };

for (const mayMove of [true, false])
  describe(mayMove ? 'TLS upgrade' : 'TLS upgrade in place', () => {
    let server: Server;
    let accepted: Socket;
    let client: Socket;
    beforeEach(async () => {
      server = createServer();
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const address = server.address();
      assert.ok(typeof address === 'object' && address !== null);
      client = connect(address.port, '127.0.0.1');
      client.on('error', () => undefined);
      const [socket] = await once(server, 'connection');
      accepted = socket;
      accepted.on('error', () => undefined);
    });
    afterEach(() => {
      client.destroy();
      accepted.destroy();
      server.close();
    });

    it('tells what was agreed on', async () => {
      const contexts = new TlsContexts(source({ ...usable, ssl_cipher_suites: 'TLS_AES_256_GCM_SHA384' }), undefined);
      const tls = connectTls({ socket: client, servername: 'mail.example', rejectUnauthorized: false });
      tls.on('error', () => undefined);
      const upgraded = await upgradeToTls({ socket: accepted, contexts, facts, mayMove, buffered: Buffer.alloc(0) });
      assert.deepEqual(upgraded.facts, {
        protocol: 'TLSv1.3',
        cipher: 'TLS_AES_256_GCM_SHA384',
        bits: 256,
        serverName: 'mail.example',
        certUsername: undefined,
      });
      tls.destroy();
    });

    it('tells the name that the client asked for, and gives the certificate of its local_name block', async () => {
      const other = makeSelfSigned(['other.example'], 1, new Date());
      const contexts = new TlsContexts(
        unpackSettings({
          version: 1,
          groups: ['tls'],
          kinds: [],
          layers: [
            { filter: {}, values: usable, sections: [] },
            { filter: { localName: 'other.example' }, values: { ssl_cert: other.certificate, ssl_key: other.key }, sections: [] },
          ],
        }),
        undefined,
      );
      const tls = connectTls({ socket: client, servername: 'other.example', rejectUnauthorized: false });
      tls.on('error', () => undefined);
      const upgraded = upgradeToTls({ socket: accepted, contexts, facts, mayMove, buffered: Buffer.alloc(0) });
      const [done] = await Promise.all([upgraded, once(tls, 'secureConnect')]);
      assert.equal(tls.getPeerCertificate().subject.CN, 'other.example');
      assert.equal(done.facts.serverName, 'other.example');
      tls.destroy();
    });

    it('takes the start of a handshake that was read before', async () => {
      const contexts = new TlsContexts(source(usable), undefined);
      const tls = connectTls({ socket: client, rejectUnauthorized: false });
      tls.on('error', () => undefined);
      const [hello] = await once(accepted, 'data');
      const upgraded = upgradeToTls({ socket: accepted, contexts, facts, mayMove, buffered: hello });
      await Promise.all([upgraded, once(tls, 'secureConnect')]);
      tls.destroy();
    });

    it('is given up when the client is silent', async () => {
      const contexts = new TlsContexts(source(usable), undefined);
      const upgrade = upgradeToTls({ socket: accepted, contexts, facts, mayMove, buffered: Buffer.alloc(0), timeoutMs: 30 });
      await assert.rejects(upgrade, { code: 'timeout' });
      await once(client, 'close');
    });

    for (const [what, values, message] of [
      ['without a certificate', {}, /ssl enabled, but ssl_cert not set/],
      ['without a key', { ssl_cert: testCertificate.cert }, /ssl_key not set/],
      ['when it is switched off', { ...usable, ssl: 'no' }, /ssl = no/],
      ['with a certificate that is none', { ...usable, ssl_cert: 'nonsense' }, /cannot be used/],
    ] as const) {
      it(`is refused ${what}`, async () => {
        const contexts = new TlsContexts(source(values), undefined);
        const upgrade = upgradeToTls({ socket: accepted, contexts, facts, mayMove, buffered: Buffer.alloc(0) });
        await assert.rejects(upgrade, { code: 'not-configured', message });
        assert.ok(accepted.destroyed);
      });
    }

    for (const text of ['a2 LOGIN mallory x\r\n', '\r\n', '\u0015\u0003\u0001']) {
      it(`is refused behind ${JSON.stringify(text)}`, async () => {
        const contexts = new TlsContexts(source(usable), undefined);
        const upgrade = upgradeToTls({ socket: accepted, contexts, facts, mayMove, buffered: Buffer.from(text, 'latin1') });
        await assert.rejects(upgrade, { code: 'injected' });
      });
    }

    it('makes one context for all connections that match the same blocks', () => {
      const contexts = new TlsContexts(source(usable), undefined);
      assert.equal(contexts.get(facts), contexts.get({ localIp: '192.0.2.1', localName: 'other.example' }));
    });
  });

describe('TLS settings', () => {
  const options = (values: Readonly<Record<string, string>>) => contextOptions(source(values).get(tlsSettings), undefined);

  for (const [text, version] of [
    ['ANY', 'TLSv1'],
    ['SSLv3', 'TLSv1'],
    ['TLSv1.1', 'TLSv1.1'],
    ['TLSv1.2', 'TLSv1.2'],
    ['LATEST', 'TLSv1.3'],
  ] as const) {
    it(`ssl_min_protocol = ${text} is ${version}`, () => assert.equal(options({ ssl_min_protocol: text }).minVersion, version));
  }

  it('let a client certificate count for nothing that ssl_ca does not name', () => {
    assert.deepEqual(options({}).ca, []);
    assert.equal(options({ ssl_ca: 'ours' }).ca, 'ours');
  });

  it('name a second certificate beside the first', () => {
    const { cert, key } = options({ ssl_cert: 'c1', ssl_key: 'k1', ssl_alt_cert: 'c2', ssl_alt_key: 'k2' });
    assert.deepEqual(
      [cert, key],
      [
        ['c1', 'c2'],
        ['k1', 'k2'],
      ],
    );
  });

  for (const [name, bits] of [
    ['TLS_AES_256_GCM_SHA384', 256],
    ['TLS_AES_128_GCM_SHA256', 128],
    ['TLS_CHACHA20_POLY1305_SHA256', 256],
    ['ECDHE-RSA-AES128-GCM-SHA256', 128],
    ['ECDHE-ECDSA-AES256-SHA', 256],
    ['DES-CBC3-SHA', 112],
  ] as const) {
    it(`${name} has ${bits} bits`, () => assert.equal(cipherBits(name), bits));
  }
});
