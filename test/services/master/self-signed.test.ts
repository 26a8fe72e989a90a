import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { describe, it } from 'node:test';
import { connect, createServer } from 'node:tls';
import { makeSelfSigned } from '#services/master/dev/self-signed.js';

const now = new Date('2026-11-22T12:00:00Z');

describe('A self-signed certificate', () => {
  const { certificate, key } = makeSelfSigned(['localhost', '127.0.0.1', '::1', '2001:db8::5'], 3650, now);
  const parsed = new X509Certificate(certificate);

  it('is signed with its own key, and belongs to it', () => {
    assert.ok(parsed.verify(parsed.publicKey));
    assert.ok(parsed.checkPrivateKey(createPrivateKey(key)));
  });

  it('names hosts and addresses', () => {
    assert.equal(parsed.subject, 'CN=localhost');
    assert.equal(parsed.checkHost('localhost'), 'localhost');
    for (const address of ['127.0.0.1', '::1', '2001:db8::5']) assert.equal(parsed.checkIP(address), address);
    assert.equal(parsed.checkHost('example.test'), undefined);
  });

  it('is valid from a day before, for the days asked for', () => {
    assert.equal(new Date(parsed.validFrom).getTime(), now.getTime() - 24 * 3600 * 1000);
    assert.equal(new Date(parsed.validTo).getTime(), now.getTime() + 3650 * 24 * 3600 * 1000);
    const long = new X509Certificate(makeSelfSigned(['localhost'], 365 * 40, now).certificate);
    assert.equal(new Date(long.validTo).getUTCFullYear(), 2066);
  });

  it('has a serial number of its own each time', () => {
    assert.notEqual(new X509Certificate(makeSelfSigned(['localhost'], 1, now).certificate).serialNumber, parsed.serialNumber);
  });

  it('is accepted by a TLS client that trusts it', async () => {
    const fresh = makeSelfSigned(['localhost'], 1, new Date());
    const server = createServer({ cert: fresh.certificate, key: fresh.key }, (socket) => socket.end('hello'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    assert.ok(typeof address === 'object' && address !== null);
    const client = connect({ port: address.port, host: '127.0.0.1', servername: 'localhost', ca: fresh.certificate });
    let text = '';
    for await (const chunk of client) text += String(chunk);
    assert.equal(text, 'hello');
    server.close();
  });
});
