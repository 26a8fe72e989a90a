import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseProxyHeader } from '#service-kit/proxy-protocol.js';

const signature = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');

function tlv(type: number, value: Buffer | string): Buffer {
  const octets = Buffer.from(value);
  return Buffer.concat([Buffer.from([type, octets.length >> 8, octets.length & 0xff]), octets]);
}

function version2(options: { command?: number; family?: number; version?: number; body?: Buffer; length?: number }): Buffer {
  const body = options.body ?? Buffer.alloc(0);
  const length = options.length ?? body.length;
  const head = [((options.version ?? 2) << 4) | (options.command ?? 1), options.family ?? 0x11, length >> 8, length & 0xff];
  return Buffer.concat([signature, Buffer.from(head), body]);
}

const v4Body = Buffer.from([192, 0, 2, 1, 198, 51, 100, 2, 0x30, 0x39, 0x00, 0x8f]);
const v4 = { remoteIp: '192.0.2.1', remotePort: 12345, localIp: '198.51.100.2', localPort: 143 };
const v6Body = Buffer.concat([
  Buffer.from('20010db8000000000000000000000001', 'hex'),
  Buffer.from('00000000000000000000ffffc0000205', 'hex'),
  Buffer.from([0x30, 0x39, 0x03, 0xe1]),
]);
const verifiedTls = tlv(
  0x20,
  Buffer.concat([Buffer.from([7, 0, 0, 0, 0]), tlv(0x21, 'TLSv1.3'), tlv(0x22, 'anna'), tlv(0x23, 'TLS_AES_256_GCM_SHA384')]),
);
const unverifiedTls = tlv(0x20, Buffer.concat([Buffer.from([7, 0, 0, 0, 1]), tlv(0x21, 'TLSv1.2'), tlv(0x22, 'mallory')]));

describe('PROXY protocol header', () => {
  for (const [text, expected] of [
    ['PROXY TCP4 192.0.2.1 198.51.100.2 12345 143\r\n', v4],
    [
      'PROXY TCP6 2001:db8::1 2001:db8::2 65535 1\r\n',
      { remoteIp: '2001:db8::1', remotePort: 65535, localIp: '2001:db8::2', localPort: 1 },
    ],
    ['PROXY UNKNOWN\r\n', undefined],
    ['PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n', undefined],
  ] as const) {
    it(`is read from ${JSON.stringify(text)} at every split`, () => {
      const whole = Buffer.from(`${text}a1 NOOP\r\n`);
      for (let cut = 0; cut < text.length; cut += 1) assert.deepEqual(parseProxyHeader(whole.subarray(0, cut)), { kind: 'more' });
      assert.deepEqual(parseProxyHeader(whole), { kind: 'header', length: text.length, addresses: expected, tls: undefined });
    });
  }

  for (const text of [
    'GET / HTTP/1.1\r\n',
    'PROXY TCP4 192.0.2.1 198.51.100.2 12345\r\n',
    'PROXY TCP4 192.0.2.1 198.51.100.2 12345 143 7\r\n',
    'PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n',
    'PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n',
    'PROXY TCP4 192.0.2.1 198.51.100.2 65536 1\r\n',
    'PROXY TCP4 192.0.2.1 198.51.100.2 01 1\r\n',
    'PROXY TCP4 192.0.2.1  198.51.100.2 1 1\r\n',
    'PROXY UDP4 192.0.2.1 198.51.100.2 1 1\r\n',
    'PROXY SCTP 1 2 3 4\r\n',
    `PROXY UNKNOWN ${'x'.repeat(92)}\r\n`,
    `PROXY UNKNOWN ${'x'.repeat(93)}`,
    '\r\n\r\n\0\r\nQUIX',
  ]) {
    it(`is refused in ${JSON.stringify(text.slice(0, 60))}`, () => {
      assert.equal(parseProxyHeader(Buffer.from(text, 'latin1')).kind, 'bad');
    });
  }

  it('of version 1 may be 107 octets long', () => {
    const line = `PROXY UNKNOWN ${'x'.repeat(91)}\r\n`;
    assert.equal(line.length, 107);
    assert.equal(parseProxyHeader(Buffer.from(line)).kind, 'header');
  });

  for (const [what, wire, addresses, tls] of [
    ['IPv4', version2({ body: v4Body }), v4, undefined],
    [
      'IPv6, a mapped address becoming IPv4',
      version2({ family: 0x21, body: v6Body }),
      { remoteIp: '2001:db8::1', remotePort: 12345, localIp: '192.0.2.5', localPort: 993 },
      undefined,
    ],
    ['a health check of the proxy itself', version2({ command: 0, body: v4Body }), undefined, undefined],
    ['a UNIX socket', version2({ family: 0x31, body: Buffer.alloc(216) }), undefined, undefined],
    ['UDP', version2({ family: 0x12, body: v4Body }), undefined, undefined],
    ['no family', version2({ family: 0x00 }), undefined, undefined],
    [
      'TLS with a verified certificate and a server name',
      version2({ body: Buffer.concat([v4Body, tlv(0x02, 'mail.example'), verifiedTls]) }),
      v4,
      { protocol: 'TLSv1.3', cipher: 'TLS_AES_256_GCM_SHA384', serverName: 'mail.example', certCommonName: 'anna' },
    ],
    [
      'TLS with a certificate that was not verified',
      version2({ body: Buffer.concat([v4Body, unverifiedTls]) }),
      v4,
      { protocol: 'TLSv1.2', cipher: '', serverName: '', certCommonName: undefined },
    ],
    ['TLVs nobody knows', version2({ body: Buffer.concat([v4Body, tlv(0xee, 'xyz'), tlv(0x04, '')]) }), v4, undefined],
  ] as const) {
    it(`of version 2 is read for ${what}, at every split`, () => {
      for (let cut = 0; cut < wire.length; cut += 1) assert.deepEqual(parseProxyHeader(wire.subarray(0, cut)), { kind: 'more' });
      const expected = { kind: 'header', length: wire.length, addresses, tls };
      assert.deepEqual(parseProxyHeader(wire), expected);
      assert.deepEqual(parseProxyHeader(Buffer.concat([wire, Buffer.from('a1 NOOP\r\n')])), expected);
    });
  }

  for (const [what, wire] of [
    ['version 1 in the version 2 form', version2({ version: 1, body: v4Body })],
    ['an unknown command', version2({ command: 2, body: v4Body })],
    ['addresses cut off', version2({ body: v4Body.subarray(0, 11) })],
    ['IPv6 with the length of IPv4', version2({ family: 0x21, body: v4Body })],
    ['a TLV cut off', version2({ body: Buffer.concat([v4Body, Buffer.from([1, 0, 9, 1])]) })],
    ['a TLV head cut off', version2({ body: Buffer.concat([v4Body, Buffer.from([1, 0])]) })],
    ['TLS cut off', version2({ body: Buffer.concat([v4Body, tlv(0x20, 'abc')]) })],
    ['more than is reasonable', version2({ length: 4097 })],
  ] as const) {
    it(`of version 2 is refused for ${what}`, () => assert.equal(parseProxyHeader(wire).kind, 'bad'));
  }

  it('never throws and never claims more than it was given', () => {
    const start = fc.constantFrom(
      Buffer.alloc(0),
      signature,
      Buffer.from('PROXY '),
      Buffer.from('PROXY TCP4 '),
      version2({ body: v4Body }),
    );
    fc.assert(
      fc.property(start, fc.uint8Array({ maxLength: 300 }), (head, tail) => {
        const octets = Buffer.concat([head, tail]);
        const header = parseProxyHeader(octets);
        if (header.kind === 'header') assert.ok(header.length <= octets.length);
      }),
      { numRuns: 3000 },
    );
  });
});
