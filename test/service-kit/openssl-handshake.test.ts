import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import { unpackSettings } from '#config/pack.js';
import type { ClientSocket } from '#service-kit/open-socket.js';
import { TlsContexts, upgradeToTls } from '#service-kit/tls.js';
import { TlsStream } from '#service-kit/tls-stream.js';
import { openNativeLibraries } from '#util/native-calls.js';
import { polledInstead, socketKinds } from './polled-instead.js';
import { testCertificate } from './test-certificate.js';

const facts = { localIp: '127.0.0.1', remoteIp: '127.0.0.1' };
const isThere = openNativeLibraries() !== undefined && process.versions.node.startsWith('20.');

function contextsOf(values: Readonly<Record<string, string>> = {}, ticketKeys?: Buffer, localName?: string): TlsContexts {
  const usable = { ssl_cert: testCertificate.cert, ssl_key: testCertificate.key, ...values };
  const layers = [{ filter: {}, values: usable, sections: [] }];
  const named = { filter: { localName: localName ?? '' }, values: { ssl_min_protocol: 'TLSv1.3' }, sections: [] };
  return new TlsContexts(
    unpackSettings({ version: 1, groups: ['tls'], kinds: [], layers: localName === undefined ? layers : [...layers, named] }),
    ticketKeys,
  );
}

/** What is written goes out in pieces of one octet. */
class Crumbs extends Duplex {
  readonly #socket: Socket;

  constructor(socket: Socket) {
    super();
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (octets) => this.push(octets));
    socket.on('end', () => this.push(null));
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(octets: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    const next = (at: number): void => {
      if (at === octets.length) done();
      else this.#socket.write(octets.subarray(at, at + 1), () => setImmediate(next, at + 1));
    };
    next(0);
  }
}

for (const kind of socketKinds)
  describe(`A handshake without Node over a socket that is ${kind}`, { skip: !isThere }, () => {
    let server: Server;
    let client: Socket;
    let accepted: ClientSocket;
    let tls: TLSSocket | undefined;

    async function open(): Promise<void> {
      const address = server.address();
      client = connect({ port: typeof address === 'object' && address !== null ? address.port : 0, host: '127.0.0.1' });
      client.on('error', () => undefined);
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

    async function shake(contexts: TlsContexts, options: ConnectionOptions = {}, mayMove = true): Promise<Duplex> {
      const mine = connectTls({ socket: client, rejectUnauthorized: false, ...options });
      tls = mine;
      mine.on('error', () => undefined);
      const { stream } = await upgradeToTls({ socket: accepted, contexts, facts, mayMove, buffered: Buffer.alloc(0) });
      stream.on('error', () => undefined);
      return stream;
    }

    /** Both ways, so that the numbers of both directions are seen to be right. */
    async function talk(stream: Duplex): Promise<void> {
      assert.ok(tls !== undefined);
      stream.write('* OK hello\r\n');
      assert.equal(String((await once(tls, 'data'))[0]), '* OK hello\r\n');
      tls.write('a NOOP\r\n');
      assert.equal(String((await once(stream, 'data'))[0]), 'a NOOP\r\n');
    }

    /** A ticket of this connection, which is over then. */
    async function ticketOf(contexts: TlsContexts): Promise<Buffer> {
      const stream = await shake(contexts);
      const session = once(tls ?? stream, 'session');
      await talk(stream);
      const [ticket] = (await session) as [Buffer];
      tls?.destroy();
      stream.destroy();
      await open();
      return ticket;
    }

    it('is what TLS 1.3 gets', async () => {
      const contexts = contextsOf();
      assert.notEqual(contexts.quick(facts), undefined);
      const stream = await shake(contexts);
      assert.ok(stream instanceof TlsStream);
      await talk(stream);
    });

    it('sends the tickets together with what is said at once', async () => {
      const stream = await shake(contextsOf());
      assert.equal(accepted.writableCorked, 1);
      assert.ok(accepted.writableLength > 0);
      await talk(stream);
      assert.equal(accepted.writableCorked, 0);
    });

    it('sends the tickets in the same turn to a client that is told nothing else', async () => {
      await shake(contextsOf());
      assert.ok(accepted.writableLength > 0);
      await new Promise((resolve) => setImmediate(resolve));
      await new Promise((resolve) => setImmediate(resolve));
      assert.equal(accepted.writableCorked, 0);
    });

    it('takes a client that sends octet by octet', async () => {
      const stream = await shake(contextsOf(), { socket: new Crumbs(client) });
      assert.ok(stream instanceof TlsStream);
      await talk(stream);
    });

    it('asks for another key share', async () => {
      const stream = await shake(contextsOf({ ssl_curve_list: 'P-384' }), { ecdhCurve: 'X25519:P-384' });
      assert.ok(stream instanceof TlsStream);
      await talk(stream);
    });

    it('is left to Node where names decide, or certificates of clients', () => {
      assert.equal(contextsOf({}, undefined, 'other.example').quick(facts), undefined);
      assert.equal(contextsOf({ ssl_verify_client_cert: 'yes' }).quick(facts), undefined);
    });

    for (const suite of ['TLS_AES_256_GCM_SHA384', 'TLS_AES_128_GCM_SHA256', 'TLS_CHACHA20_POLY1305_SHA256'])
      it(`knows the secrets of ${suite} also when they are told by OpenSSL no more`, async () => {
        const contexts = contextsOf();
        for (let turn = 0; turn < 5; turn += 1) {
          const stream = await shake(contexts, { ciphers: suite });
          assert.ok(stream instanceof TlsStream);
          assert.equal(tls?.getCipher().name, suite);
          await talk(stream);
          tls?.destroy();
          stream.destroy();
          await open();
        }
        const context = contexts.quick(facts);
        assert.ok(context !== undefined);
        assert.ok(context.readsSecrets);
      });

    it('sends one ticket', async () => {
      let count = 0;
      const stream = shake(contextsOf());
      tls?.on('session', () => {
        count += 1;
      });
      await talk(await stream);
      assert.equal(count, 1);
    });

    it('is what TLS 1.3 gets also where the connection stays', async () => {
      const stream = await shake(contextsOf(), {}, false);
      assert.ok(stream instanceof TlsStream);
      await talk(stream);
    });

    for (const mayMove of [true, false]) {
      const where = mayMove ? '' : ', where the connection stays';
      it(`is left to Node with a suite that is not known here${where}`, async () => {
        const suite = 'TLS_AES_128_CCM_SHA256';
        const stream = await shake(contextsOf({ ssl_cipher_suites: suite }), { ciphers: suite }, mayMove);
        assert.ok(!(stream instanceof TlsStream));
        await talk(stream);
      });

      it(`is left to Node with TLS 1.2${where}`, async () => {
        const stream = await shake(contextsOf(), { maxVersion: 'TLSv1.2' }, mayMove);
        assert.ok(!(stream instanceof TlsStream));
        assert.equal(tls?.getProtocol(), 'TLSv1.2');
        await talk(stream);
      });

      it(`is left to Node with TLS 1.2 that comes octet by octet${where}`, async () => {
        const stream = await shake(contextsOf(), { maxVersion: 'TLSv1.2', socket: new Crumbs(client) }, mayMove);
        assert.equal(tls?.getProtocol(), 'TLSv1.2');
        await talk(stream);
      });
    }

    it('is left to Node when nothing can be agreed on, which tells the client', async () => {
      const contexts = contextsOf({ ssl_cipher_suites: 'TLS_AES_256_GCM_SHA384' });
      await assert.rejects(shake(contexts, { ciphers: 'TLS_AES_128_GCM_SHA256' }), { code: 'handshake', message: /no shared cipher/ });
    });

    it('ends with an alert when the client goes wrong in the middle of it', async () => {
      const contexts = contextsOf();
      const [hello] = await helloOf(contexts);
      const failed = assert.rejects(upgradeToTls({ socket: accepted, contexts, facts, mayMove: true, buffered: Buffer.alloc(0) }), {
        code: 'handshake',
        message: /TLS handshake failed: error:.*SSL routines/,
      });
      client.write(hello);
      const heard: Buffer[] = [];
      client.on('data', (octets) => heard.push(octets));
      await once(client, 'data');
      client.write(Buffer.concat([Buffer.from([23, 3, 3, 0, 64]), Buffer.alloc(64)]));
      await failed;
      await once(client, 'close');
      // Sealed, as it comes behind the server's Finished: one octet of type and two of alert.
      assert.deepEqual([...Buffer.concat(heard).subarray(-24, -19)], [23, 3, 3, 0, 19]);
    });

    async function helloOf(contexts: TlsContexts): Promise<[Buffer]> {
      const own = connectTls({ socket: client, rejectUnauthorized: false });
      own.on('error', () => undefined);
      const [hello] = (await once(accepted, 'data')) as [Buffer];
      own.destroy();
      await open();
      assert.notEqual(contexts.quick(facts), undefined);
      return [hello];
    }

    for (const [first, second] of [
      ['this', 'this'],
      ['this', 'Node'],
      ['Node', 'this'],
    ] as const)
      it(`resumes with ${second} what ${first} began, also when the key of the tickets has changed`, async () => {
        const [oldKey, newKey] = [randomBytes(48), randomBytes(48)];
        const made = {
          this: contextsOf({}, oldKey),
          // Names that may decide are Node's.
          Node: contextsOf({}, oldKey, 'other.example'),
        };
        const replaceKeys = (keys: Buffer): void => {
          for (const contexts of [made.this, made.Node]) contexts.replaceTicketKeys(keys);
        };
        assert.equal(made.Node.quick(facts), undefined);
        const ticket = await ticketOf(made[first]);
        await talk(await shake(made[second], { session: ticket }));
        assert.ok(tls?.isSessionReused());
        tls?.destroy();
        await open();
        replaceKeys(Buffer.concat([newKey, oldKey]));
        await talk(await shake(made[second], { session: ticket }));
        assert.ok(tls?.isSessionReused());
        const renewed = await (async () => {
          tls?.destroy();
          await open();
          return await ticketOf(made[first]);
        })();
        replaceKeys(newKey);
        await talk(await shake(made[second], { session: renewed }));
        assert.ok(tls?.isSessionReused());
      });
  });
