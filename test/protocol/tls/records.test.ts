import assert from 'node:assert/strict';
import { createCipheriv } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Direction } from '#protocol/tls/direction.js';
import { RecordOpener } from '#protocol/tls/opener.js';
import { contentTypes, maxContentBytes, overheadBytes, RecordError } from '#protocol/tls/record.js';
import { parseKeyUpdate, RecordSealer } from '#protocol/tls/sealer.js';
import { cipherSuite, nextSecret, trafficKeys } from '#protocol/tls/suites.js';

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(/\s/g, ''), 'hex');
const nothing = Buffer.alloc(0);

/** RFC 8448 3. */
const trace = {
  clientSecret: hex('9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5'),
  serverSecret: hex('a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643'),
  serverKey: '9f02283b6c9c07efc26bb9f2ac92e356',
  serverIv: 'cf782b88dd83549aadf1e984',
  clientRecord:
    hex(`17 03 03 00 43 a2 3f 70 54 b6 2c 94 d0 af fa fe 82 28 ba 55 cb ef ac ea 42 f9 14 aa 66 bc ab 3f 2b 98 19 a8 a5 b4 6b 39 5b d5
    4a 9a 20 44 1e 2b 62 97 4e 1f 5a 62 92 a2 97 70 14 bd 1e 3d ea e6 3a ee bb 21 69 49 15 e4`),
};
const suite = 'TLS_AES_128_GCM_SHA256';

function pair(
  name = suite,
  sequence = 0,
  keyLife?: number,
): { readonly sealer: RecordSealer; readonly opener: RecordOpener; readonly incoming: Direction } {
  const secret = Buffer.alloc(cipherSuite(name)?.secretBytes ?? 0, 7);
  const incoming = new Direction({ suite: name, secret, sequence });
  return {
    sealer: new RecordSealer(new Direction({ suite: name, secret, sequence }), keyLife),
    opener: new RecordOpener(incoming, nothing),
    incoming,
  };
}

/** @throws RecordError */
function openAll(opener: RecordOpener, octets: Buffer, incoming?: Direction): Buffer {
  opener.push(octets);
  const contents: Buffer[] = [];
  for (let record = opener.next(); record !== undefined; record = opener.next()) {
    if (record.type === contentTypes.handshake && parseKeyUpdate(record.content) !== undefined) incoming?.update();
    else contents.push(record.content);
  }
  return Buffer.concat(contents);
}

describe('Records of TLS 1.3', () => {
  it('have the keys of the published trace', () => {
    const known = cipherSuite(suite);
    assert.ok(known);
    const { key, iv } = trafficKeys(known, trace.serverSecret);
    assert.equal(key.toString('hex'), trace.serverKey);
    assert.equal(iv.toString('hex'), trace.serverIv);
  });

  it('are those of the published trace', () => {
    const content = Buffer.from(Array.from({ length: 50 }, (_, index) => index));
    const state = { suite, secret: trace.clientSecret, sequence: 0 };
    assert.deepEqual(new RecordSealer(new Direction(state)).seal([content]), trace.clientRecord);
    assert.deepEqual(openAll(new RecordOpener(new Direction(state), nothing), trace.clientRecord), content);
  });

  for (const name of ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256'])
    it(`of ${name} are opened as they were sealed, wherever they are cut`, () => {
      fc.assert(
        fc.property(
          fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 6 }),
          fc.array(fc.nat(400), { maxLength: 8 }),
          (texts, cuts) => {
            const { sealer, opener } = pair(name);
            const sealed = Buffer.concat(texts.map((text) => sealer.seal([Buffer.from(text)])));
            const received: Buffer[] = [];
            let from = 0;
            for (const cut of [...cuts.sort((a, b) => a - b), sealed.length]) {
              const to = Math.min(cut, sealed.length);
              received.push(openAll(opener, sealed.subarray(from, to)));
              from = to;
            }
            assert.deepEqual(Buffer.concat(received), Buffer.concat(texts));
            assert.equal(opener.rest.length, 0);
          },
        ),
        { numRuns: 60 },
      );
    });

  it('hold 16 KB each, however much is written at once', () => {
    const { sealer, opener } = pair();
    const content = Buffer.alloc(3 * maxContentBytes + 1, 'x');
    const sealed = sealer.seal([content.subarray(0, 10), content.subarray(10)]);
    assert.equal(sealed.length, content.length + 4 * overheadBytes);
    assert.deepEqual(openAll(opener, sealed), content);
  });

  it('are numbered on beyond 32 bits', () => {
    const { sealer, opener } = pair(suite, 2 ** 32 - 1, 2 ** 40);
    const sealed = Buffer.concat([sealer.seal([Buffer.from('a')]), sealer.seal([Buffer.from('b')])]);
    assert.equal(openAll(opener, sealed).toString(), 'ab');
    const { opener: other } = pair(suite, 0);
    assert.throws(() => openAll(other, sealed), { code: 'badRecordMac' });
  });

  it('get a new key before the old one has been used too often', () => {
    const { sealer, opener, incoming } = pair(suite, 0, 3);
    const texts = Array.from({ length: 10 }, (_, index) => `text ${index}`);
    const sealed = texts.map((text) => sealer.seal([Buffer.from(text)]));
    assert.equal(sealed.map((octets) => openAll(opener, octets, incoming).toString()).join(), texts.join());
    assert.notDeepEqual(incoming.state.secret, Buffer.alloc(32, 7));
  });

  it('go on with the next secret after a KeyUpdate', () => {
    const known = cipherSuite(suite);
    assert.ok(known);
    const { sealer, opener, incoming } = pair();
    const update = sealer.keyUpdate(true);
    opener.push(update);
    const record = opener.next();
    assert.deepEqual(record && parseKeyUpdate(record.content), { isAsking: true });
    incoming.update();
    assert.deepEqual(incoming.state, { suite, secret: nextSecret(known, Buffer.alloc(32, 7)), sequence: 0 });
    assert.equal(openAll(opener, sealer.seal([Buffer.from('on')])).toString(), 'on');
  });

  it('are no KeyUpdate when they hold anything else', () => {
    for (const content of ['', '18', '1800000102', '180000010000', '1800000201', '0400000100'])
      assert.equal(parseKeyUpdate(hex(content)), undefined, content);
  });

  it('may be padded', () => {
    // What a sealer of this product never does: the padding is content with a type of zero, then the type of what is padded.
    const { opener, sealer } = pair();
    const sealed = sealer.seal([Buffer.from('text')]);
    assert.equal(openAll(opener, sealed).toString(), 'text');
    const padded = sealPadded(hex('74657874 17 000000'));
    const other = pair();
    assert.equal(openAll(other.opener, padded).toString(), 'text');
    assert.throws(() => openAll(pair().opener, sealPadded(Buffer.alloc(20))), { code: 'unexpectedMessage' });
  });

  it('that are changed anywhere are refused, whatever they are changed to', () => {
    const { sealer } = pair();
    const sealed = sealer.seal([Buffer.from('some text')]);
    for (let at = 0; at < sealed.length; at++) {
      for (const bit of [1, 0x80]) {
        const changed = Buffer.from(sealed);
        changed[at] = (changed[at] ?? 0) ^ bit;
        const { opener } = pair();
        let content: Buffer | undefined;
        try {
          content = openAll(opener, changed);
        } catch (error) {
          assert.ok(error instanceof RecordError);
        }
        // A length that is greater makes it one that has not come whole.
        assert.ok(content === undefined || content.length === 0, `octet ${at}`);
      }
    }
  });

  it('are never more than one that is not whole', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (octets) => {
        const { opener } = pair();
        try {
          openAll(opener, Buffer.from(octets));
          assert.ok(opener.rest.length <= 5 + 16_640);
        } catch (error) {
          assert.ok(error instanceof RecordError);
        }
      }),
    );
  });
});

/** A record with what is given, content type and padding included. */
function sealPadded(inner: Buffer): Buffer {
  const secret = Buffer.alloc(32, 7);
  const known = cipherSuite(suite);
  assert.ok(known);
  const { key, iv } = trafficKeys(known, secret);
  const header = Buffer.from([23, 3, 3, 0, inner.length + 16]);
  const cipher = createCipheriv('aes-128-gcm', key, iv);
  cipher.setAAD(header);
  return Buffer.concat([header, cipher.update(inner), cipher.final(), cipher.getAuthTag()]);
}
