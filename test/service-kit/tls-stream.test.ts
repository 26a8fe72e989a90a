// Connections with TLS after the handshake, with Node's own TLS as the other end.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import { unpackSettings } from '#config/pack.js';
import { parseTlsState, type TlsDirectionState, type TlsState } from '#ipc/tls-state.js';
import { Direction } from '#protocol/tls/direction.js';
import { RecordOpener } from '#protocol/tls/opener.js';
import { alerts, contentTypes } from '#protocol/tls/record.js';
import { RecordSealer } from '#protocol/tls/sealer.js';
import type { ClientSocket } from '#service-kit/open-socket.js';
import { continueReading } from '#service-kit/reading.js';
import { TlsContexts, upgradeToTls } from '#service-kit/tls.js';
import { TlsStream } from '#service-kit/tls-stream.js';
import { polledInstead, socketKinds } from './polled-instead.js';
import { testCertificate } from './test-certificate.js';

const facts = { localIp: '127.0.0.1', remoteIp: '127.0.0.1' };
const contexts = new TlsContexts(
  unpackSettings({
    version: 1,
    groups: ['tls'],
    kinds: [],
    layers: [{ filter: {}, values: { ssl: 'yes', ssl_cert: testCertificate.cert, ssl_key: testCertificate.key }, sections: [] }],
  }),
  undefined,
);

/** What a client has that speaks with this stream. */
interface Peer {
  readonly sealer: RecordSealer;
  readonly incoming: Direction;
  readonly opener: RecordOpener;
}

function peerOf(stream: TlsStream): Peer {
  const { suite, received, sent } = stream.state;
  const direction = (state: TlsDirectionState): Direction =>
    new Direction({ suite, secret: Buffer.from(state.secret, 'base64'), sequence: state.sequence });
  const incoming = direction(sent);
  return { sealer: new RecordSealer(direction(received)), incoming, opener: new RecordOpener(incoming, Buffer.alloc(0)) };
}

/** After a handshake that there was not. */
function madeUpState(): TlsState {
  const direction = (): TlsDirectionState => ({ secret: randomBytes(32).toString('base64'), sequence: 7 });
  return { suite: 'TLS_AES_128_GCM_SHA256', received: direction(), sent: direction(), partial: '' };
}

function flipLast(record: Buffer): Buffer {
  record[record.length - 1] = (record.at(-1) ?? 0) ^ 1;
  return record;
}

const twice = (record: Buffer): Buffer => Buffer.concat([record, record]);

function collect(stream: Duplex, length: number): Promise<Buffer> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let count = 0;
    const onData = (chunk: Buffer): void => {
      chunks.push(chunk);
      count += chunk.length;
      if (count < length) return;
      stream.off('data', onData);
      resolve(Buffer.concat(chunks));
    };
    stream.on('data', onData);
    stream.resume();
  });
}

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await new Promise((resolve) => setImmediate(resolve));
}

for (const kind of socketKinds)
  describe(`A stream with TLS over a socket that is ${kind}`, () => {
    let server: Server;
    let client: Socket;
    let accepted: ClientSocket;
    let tls: TLSSocket;

    async function open(): Promise<void> {
      const address = server.address();
      client = connect({ port: typeof address === 'object' && address !== null ? address.port : 0, host: '127.0.0.1' });
      const [socket] = (await once(server, 'connection')) as [Socket];
      accepted = kind === 'polled' ? polledInstead(socket) : socket;
      accepted.on('error', () => undefined);
    }

    beforeEach(async () => {
      server = createServer({ pauseOnConnect: kind === 'polled' }).listen(0, '127.0.0.1');
      await once(server, 'listening');
      await open();
    });
    afterEach(() => {
      tls?.destroy();
      client.destroy();
      accepted.destroy();
      server.close();
    });

    async function shake(options: ConnectionOptions = {}): Promise<Duplex> {
      tls = connectTls({ socket: client, rejectUnauthorized: false, ...options });
      tls.on('error', () => undefined);
      const [{ stream }] = await Promise.all([
        upgradeToTls({ socket: accepted, contexts, facts, mayMove: true, buffered: Buffer.alloc(0) }),
        once(tls, 'secureConnect'),
      ]);
      stream.on('error', () => undefined);
      return stream;
    }

    it('gets what came together with the end of the handshake', async () => {
      tls = connectTls({ socket: client, rejectUnauthorized: false });
      // Goes out with the client's Finished.
      tls.write('a LOGIN b c\r\n');
      const { stream } = await upgradeToTls({ socket: accepted, contexts, facts, mayMove: true, buffered: Buffer.alloc(0) });
      assert.equal(String((await once(stream, 'data'))[0]), 'a LOGIN b c\r\n');
      assert.ok(stream instanceof TlsStream);
    });

    it('passes octets of any length both ways, in as many writes as it likes', async () => {
      const stream = await shake();
      const lengths = [1, 2, 16_383, 16_384, 16_385, 100_000, 1, 300_000];
      const sent = lengths.map((length, index) => Buffer.alloc(length, index + 65));
      const whole = Buffer.concat(sent);
      for (const [from, to] of [
        [stream, tls],
        [tls, stream],
      ] as const) {
        const received = collect(to, whole.length);
        from.cork();
        for (const part of sent.slice(0, 3)) from.write(part);
        from.uncork();
        for (const part of sent.slice(3)) from.write(part);
        assert.ok((await received).equals(whole));
      }
    });

    for (const cipher of ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256'])
      it(`knows ${cipher}, and goes on somewhere else in the middle of it`, async () => {
        const first = await shake({ ciphers: cipher });
        assert.ok(first instanceof TlsStream);
        assert.equal(first.state.suite, cipher);
        let stream: TlsStream = first;
        for (let turn = 0; turn < 5; turn++) {
          tls.write(`to ${turn}`);
          const ahead = await collect(stream, 4);
          assert.equal(ahead.toString(), `to ${turn}`);
          stream.write(`from ${turn}`);
          assert.equal((await collect(tls, 6)).toString(), `from ${turn}`);
          assert.equal(stream.stopReading().length, 0);
          const { state } = stream;
          assert.deepEqual(parseTlsState(JSON.parse(JSON.stringify(state))), state);
          stream.socket.removeAllListeners();
          accepted.on('error', () => undefined);
          const next = new TlsStream(accepted, state);
          continueReading(accepted);
          accepted.resume();
          stream = next;
        }
      });

    it('stays whole when it moves between two halves of a record', async () => {
      const first = await shake();
      assert.ok(first instanceof TlsStream);
      // The record comes in two pieces, and the stream changes hands in between.
      const { received, sent, suite } = first.state;
      const sealer = new RecordSealer(
        new Direction({ suite, secret: Buffer.from(received.secret, 'base64'), sequence: received.sequence }),
      );
      const record = sealer.seal([Buffer.from('in two halves')]);
      client.write(record.subarray(0, 20));
      await until(() => first.state.partial !== '');
      assert.equal(first.stopReading().length, 0);
      const { state } = first;
      assert.equal(Buffer.from(state.partial, 'base64').length, 20);
      assert.equal(sent.sequence, state.sent.sequence);
      accepted.removeAllListeners();
      const second = new TlsStream(accepted, state);
      continueReading(accepted);
      accepted.resume();
      client.write(record.subarray(20));
      assert.equal((await collect(second, 13)).toString(), 'in two halves');
    });

    it('resumes a session, and counts its ticket', async () => {
      tls = connectTls({ socket: client, rejectUnauthorized: false });
      const session = once(tls, 'session');
      const { stream } = await upgradeToTls({ socket: accepted, contexts, facts, mayMove: true, buffered: Buffer.alloc(0) });
      stream.write('x');
      const [ticket] = (await session) as [Buffer];
      tls.destroy();
      stream.destroy();
      await open();
      const again = await shake({ session: ticket });
      assert.ok(tls.isSessionReused());
      again.write('hello');
      assert.equal((await collect(tls, 5)).toString(), 'hello');
    });

    it('ends when the other side says so, and can still speak', async () => {
      const stream = await shake();
      stream.allowHalfOpen = true;
      const ended = once(stream, 'end');
      tls.allowHalfOpen = true;
      tls.end('last words');
      stream.resume();
      await ended;
      stream.end('the answer');
      assert.equal((await collect(tls, 10)).toString(), 'the answer');
      await once(tls, 'end');
    });

    it('says whole records to a client that is slow, and waits for it', async () => {
      const stream = await shake();
      assert.ok(stream instanceof TlsStream);
      client.pause();
      const parts: Buffer[] = [];
      while (!stream.writableNeedDrain && parts.length < 1_000) {
        const part = randomBytes(50_000);
        parts.push(part);
        stream.writeAll([part.subarray(0, 20_000), part.subarray(20_000)]);
        await new Promise((resolve) => setImmediate(resolve));
      }
      assert.ok(stream.writableNeedDrain);
      const whole = Buffer.concat([...parts, Buffer.from('the last')]);
      const drained = once(stream, 'drain');
      const heard = collect(tls, whole.length);
      client.resume();
      stream.writeAll([Buffer.from('the last')]);
      assert.ok((await heard).equals(whole));
      await drained;
    });

    it('keeps what comes to a reader that stops in the middle of it', async () => {
      const stream = await shake();
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        stream.pause();
        setImmediate(() => stream.resume());
      });
      const ended = once(stream, 'end');
      const whole = randomBytes(200_000);
      tls.end(whole);
      await ended;
      assert.ok(Buffer.concat(chunks).equals(whole));
    });

    it('says the end, and is closed at once', async () => {
      const stream = await shake();
      assert.ok(stream instanceof TlsStream);
      const heard: Buffer[] = [];
      tls.on('data', (chunk: Buffer) => heard.push(chunk));
      const ended = once(tls, 'end');
      stream.writeAll([Buffer.from('* BYE\r\n')]);
      // The ticket goes out first.
      await until(() => stream.isClear && accepted.writableCorked === 0 && accepted.writableLength === 0);
      assert.equal(stream.sayEnd(), kind === 'polled');
      if (kind === 'polled') stream.destroy();
      else stream.end();
      await ended;
      assert.equal(String(Buffer.concat(heard)), '* BYE\r\n');
    });

    it('says the end together with the last words, and not again', async () => {
      const stream = await shake();
      assert.ok(stream instanceof TlsStream);
      const heard: Buffer[] = [];
      tls.on('data', (chunk: Buffer) => heard.push(chunk));
      const ended = once(tls, 'end');
      await until(() => stream.isClear && accepted.writableCorked === 0 && accepted.writableLength === 0);
      const { sequence } = stream.state.sent;
      stream.writeLast([Buffer.from('* BYE\r\n')]);
      assert.equal(stream.sayEnd(), kind === 'polled');
      assert.equal(stream.state.sent.sequence - sequence, kind === 'polled' ? 2 : 1);
      if (kind === 'polled') stream.destroy();
      else stream.end();
      await ended;
      assert.equal(String(Buffer.concat(heard)), '* BYE\r\n');
    });

    it('says no second end after one that was not taken at once', async () => {
      const stream = await shake();
      assert.ok(stream instanceof TlsStream);
      tls.on('data', () => undefined);
      const ended = once(tls, 'end');
      stream.sayEnd();
      stream.end();
      await ended;
      await once(tls, 'close');
    });

    it('leaves a client with TLS 1.2 to Node', async () => {
      const stream = await shake({ maxVersion: 'TLSv1.2' });
      assert.ok(!(stream instanceof TlsStream));
      stream.write('hello');
      assert.equal((await collect(tls, 5)).toString(), 'hello');
      tls.write('and back');
      assert.equal((await collect(stream, 8)).toString(), 'and back');
    });

    it('takes a new key when it is told to, and makes one when it is asked', async () => {
      const stream = new TlsStream(accepted, madeUpState());
      const peer = peerOf(stream);
      const heard: string[] = [];
      client.on('data', (octets: Buffer) => {
        peer.opener.push(octets);
        for (let record = peer.opener.next(); record !== undefined; record = peer.opener.next()) {
          if (record.type === contentTypes.handshake) peer.incoming.update();
          heard.push(`${record.type} ${record.content.toString('hex')}`);
        }
      });
      client.write(peer.sealer.keyUpdate(true));
      client.write(peer.sealer.seal([Buffer.from('new')]));
      assert.equal((await collect(stream, 3)).toString(), 'new');
      stream.write('too');
      await until(() => heard.length === 2);
      assert.deepEqual(heard, ['22 1800000100', `23 ${Buffer.from('too').toString('hex')}`]);
      assert.equal(stream.state.received.sequence, 1);
      assert.equal(stream.state.sent.sequence, 1);
    });

    for (const [what, make, alert] of [
      ['a record that was changed', ({ sealer }) => flipLast(sealer.seal([Buffer.from('x')])), alerts.badRecordMac],
      ['a record sent twice', ({ sealer }) => twice(sealer.seal([Buffer.from('x')])), alerts.badRecordMac],
      ['a record in plaintext', () => Buffer.from([23, 3, 3, 0, 1, 65]), alerts.decodeError],
      ['a handshake in plaintext', () => Buffer.from([22, 3, 3, 0, 4, 0, 0, 0, 0]), alerts.unexpectedMessage],
      ['a record that is too long', () => Buffer.from([23, 3, 3, 0x41, 0x01]), alerts.recordOverflow],
      [
        'too many requests for keys',
        ({ sealer }) => Buffer.concat(Array.from({ length: 40 }, () => sealer.keyUpdate(true))),
        alerts.unexpectedMessage,
      ],
      [
        'empty records without end',
        ({ sealer }) => Buffer.concat(Array.from({ length: 40 }, () => sealer.seal([Buffer.alloc(0)]))),
        alerts.unexpectedMessage,
      ],
    ] satisfies readonly (readonly [string, (peer: Peer) => Buffer, number])[])
      it(`ends with an alert after ${what}`, async () => {
        const stream = new TlsStream(accepted, madeUpState());
        const peer = peerOf(stream);
        client.on('error', () => undefined);
        let told: number | undefined;
        client.on('data', (octets: Buffer) => {
          peer.opener.push(octets);
          for (let record = peer.opener.next(); record !== undefined; record = peer.opener.next()) {
            if (record.type === contentTypes.handshake) peer.incoming.update();
            else if (record.type === contentTypes.alert) told = record.content[1];
          }
        });
        const closed = new Promise((resolve) => stream.once('close', resolve));
        stream.resume();
        client.write(make(peer));
        await closed;
        await until(() => told !== undefined);
        assert.equal(told, alert);
      });

    it('follows what was said before it on the same socket', async () => {
      const upgraded = new Promise<Duplex>((resolve, reject) => {
        accepted.once('data', () => {
          accepted.write('a OK\r\n');
          accepted.pause();
          upgradeToTls({ socket: accepted, contexts, facts, mayMove: true, buffered: Buffer.alloc(0) }).then(
            ({ stream }) => resolve(stream),
            reject,
          );
        });
      });
      client.write('a STARTTLS\r\n');
      await once(client, 'data');
      tls = connectTls({ socket: client, rejectUnauthorized: false });
      const [stream] = await Promise.all([upgraded, once(tls, 'secureConnect')]);
      assert.ok(stream instanceof TlsStream);
      stream.write('* OK welcome\r\n');
      assert.equal(String((await once(tls, 'data'))[0]), '* OK welcome\r\n');
      tls.write('b NOOP\r\n');
      assert.equal(String((await once(stream, 'data'))[0]), 'b NOOP\r\n');
    });
  });
