import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import { FakeMaster, LineClient, until } from './fake-master.js';
import { namedCertificate, testCertificate } from './test-certificate.js';

const tlsSettings = { ssl: 'yes', ssl_cert: testCertificate.cert, ssl_key: testCertificate.key };

describe('accepting', () => {
  let master: FakeMaster;
  beforeEach(() => {
    master = new FakeMaster();
  });
  afterEach(() => master.close());

  function tlsClient(port: number, options: ConnectionOptions = {}): { readonly client: LineClient; readonly socket: TLSSocket } {
    const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options });
    const client = new LineClient(socket);
    master.clients.push(client);
    return { client, socket };
  }

  describe('PROXY protocol', () => {
    const start = async (networks: string, timeout = '3 secs') => {
      const listener = master.listen();
      const toy = master.start(
        {
          settings: { haproxy_trusted_networks: networks, haproxy_timeout: timeout, login_trusted_networks: '192.0.2.0/24' },
          listeners: [{ isHaproxy: true }],
        },
        [listener],
      );
      await toy.ready();
      return { toy, port: listener.port };
    };

    it('gives the client its real address, and keeps what follows the header', async () => {
      const { port } = await start('127.0.0.0/8');
      const client = master.connect(port);
      client.send('PROXY TCP4 203.0.113.5 198.51.100.1 4567 143\r\nfirst\n');
      await client.expect(/^hello 203\.0\.113\.5:4567 plain\n\d+ first\n/);
    });

    it('applies login_trusted_networks to the real address', async () => {
      const { port } = await start('127.0.0.0/8');
      const client = master.connect(port);
      client.send('PROXY TCP4 192.0.2.9 198.51.100.1 4567 143\r\n');
      await client.expect(/^hello 192\.0\.2\.9:4567 secured trusted\n/);
    });

    it('is read when it comes octet by octet', async () => {
      const { port } = await start('127.0.0.1');
      const client = master.connect(port);
      client.socket.setNoDelay(true);
      for (const octet of 'PROXY TCP4 203.0.113.5 198.51.100.1 4567 143\r\nx\n') {
        client.send(octet);
        await new Promise((resolve) => setImmediate(resolve));
      }
      await client.expect(/^hello 203\.0\.113\.5:4567 plain\n\d+ x\n/);
    });

    for (const [what, networks, text, log] of [
      ['an address that is not trusted', '10.0.0.0/8', 'PROXY TCP4 203.0.113.5 198.51.100.1 4567 143\r\n', /Client not trusted/],
      ['a client that sends none', '127.0.0.1', 'a1 CAPABILITY\r\n', /bad header/],
    ] as const) {
      it(`ends the connection of ${what}`, async () => {
        const { toy, port } = await start(networks);
        const client = master.connect(port);
        client.send(text);
        await until(() => client.isClosed, 'closed');
        assert.equal(client.received, '');
        await toy.clients(0);
        await until(() => log.test(toy.log), 'log line');
      });
    }

    it('is waited for no longer than haproxy_timeout', async () => {
      const { toy, port } = await start('127.0.0.1', '50 msecs');
      const client = master.connect(port);
      client.send('PROXY TCP4 ');
      await until(() => client.isClosed, 'closed');
      await toy.clients(0);
      await until(() => /timed out/.test(toy.log), 'log line');
    });
  });

  describe('TLS', () => {
    it('resumes a session in another process', async () => {
      const ticketKeys = randomBytes(48);
      const sessions: Buffer[] = [];
      for (const attempt of ['first', 'second']) {
        const listener = master.listen();
        const toy = master.start({ settings: tlsSettings, listeners: [{ isTls: true }], ticketKeys }, [listener]);
        await toy.ready();
        const session = sessions.at(-1);
        const { client, socket } = tlsClient(listener.port, session === undefined ? {} : { session });
        socket.on('session', (ticket) => sessions.push(ticket));
        await client.expect(/hello/);
        await until(() => sessions.length > 0, 'ticket');
        assert.equal(socket.isSessionReused(), attempt === 'second');
      }
    });

    it('resumes sessions of the previous ticket key, and of no older one, while the keys change', async () => {
      const keys = Array.from({ length: 4 }, () => randomBytes(48));
      const listener = master.listen();
      const toy = master.start({ settings: tlsSettings, listeners: [{ isTls: true }], ticketKeys: keys[0] ?? Buffer.alloc(48) }, [
        listener,
      ]);
      await toy.ready();
      const visit = async (session?: Buffer): Promise<{ readonly isReused: boolean; readonly ticket: Buffer }> => {
        const { client, socket } = tlsClient(listener.port, session === undefined ? {} : { session });
        const tickets: Buffer[] = [];
        socket.on('session', (ticket) => tickets.push(ticket));
        await client.expect(/hello/);
        // A resumed session gets a new ticket only when its own is of an older key.
        await until(() => socket.isSessionReused() || tickets.length > 0, 'ticket');
        return { isReused: socket.isSessionReused(), ticket: tickets[0] ?? Buffer.alloc(0) };
      };
      const change = (newest: number): void => {
        const ring = [keys[newest], keys[newest - 1]].map((key) => key ?? Buffer.alloc(48));
        toy.send({ kind: 'ticket-keys', tlsTicketKeys: Buffer.concat(ring).toString('base64') });
      };
      const first = await visit();
      change(1);
      // The message may be read after the next connection, which would resume with the old keys as well: the second change tells.
      const second = await visit(first.ticket);
      assert.ok(second.isReused, 'previous key');
      change(2);
      for (let tries = 0; (await visit(first.ticket)).isReused; tries += 1) assert.ok(tries < 500, 'the first key is forgotten');
      const third = await visit();
      assert.ok((await visit(third.ticket)).isReused, 'current key');
    });

    it('shows the certificate of the name the client asks for', async () => {
      const listener = master.listen();
      const named = { name: 'mail.example', values: { ssl_cert: namedCertificate.cert, ssl_key: namedCertificate.key } };
      const toy = master.start({ settings: tlsSettings, named, listeners: [{ isTls: true }] }, [listener]);
      await toy.ready();
      for (const [servername, name] of [
        ['mail.example', 'mail.example'],
        ['other.example', 'localhost'],
      ] as const) {
        const { client, socket } = tlsClient(listener.port, { servername });
        await client.expect(/hello/);
        assert.equal(socket.getPeerCertificate().subject.CN, name);
      }
    });

    it('refuses versions older than ssl_min_protocol', async () => {
      const listener = master.listen();
      const toy = master.start({ settings: { ...tlsSettings, ssl_min_protocol: 'TLSv1.3' }, listeners: [{ isTls: true }] }, [listener]);
      await toy.ready();
      const { client } = tlsClient(listener.port, { maxVersion: 'TLSv1.2' });
      await until(() => client.isClosed, 'closed');
      assert.equal(client.received, '');
      await toy.clients(0);
      const { client: newer } = tlsClient(listener.port);
      await newer.expect(/hello .* TLSv1\.3/);
    });

    it('drops a client that sends a command behind STARTTLS in plaintext', async () => {
      const listener = master.listen();
      const toy = master.start({ settings: tlsSettings }, [listener]);
      await toy.ready();
      const client = master.connect(listener.port);
      await client.expect(/hello/);
      client.send('STARTTLS\nLOGIN mallory\n');
      await until(() => client.isClosed, 'closed');
      assert.match(client.received, /\ngo\n$/);
      await toy.clients(0);
      await until(() => /plaintext was sent before the TLS handshake/.test(toy.log), 'log line');
      assert.ok(!toy.messages.some(({ kind }) => kind === 'route'));
    });

    it('survives clients that speak no TLS, or leave in the middle', async () => {
      const listener = master.listen();
      const toy = master.start({ settings: tlsSettings, listeners: [{ isTls: true }] }, [listener]);
      await toy.ready();
      for (const text of ['GET / HTTP/1.0\r\n\r\n', '\u0016\u0003\u0001\u0002\u0000\u0001', '']) {
        const client = master.connect(listener.port);
        client.socket.end(text, 'latin1');
        await until(() => client.isClosed, 'closed');
      }
      await toy.clients(0);
      const { client } = tlsClient(listener.port);
      await client.expect(/hello/);
      assert.equal(toy.exitCode, undefined);
    });

    it('says at the start what is wrong with the certificate', async () => {
      const listener = master.listen();
      const toy = master.start({ settings: { ...tlsSettings, ssl_key: namedCertificate.key }, listeners: [{ isTls: true }] }, [listener]);
      await toy.ready();
      await until(() => /tls.not-configured/.test(toy.log), 'log line');
      const { client } = tlsClient(listener.port);
      await until(() => client.isClosed, 'closed');
      await toy.clients(0);
    });

    it('says once what is wrong with the certificate when clients come, where the start has no time for it', async () => {
      const listener = master.listen();
      const settings = { ...tlsSettings, ssl_key: namedCertificate.key };
      const toy = master.start({ settings, listeners: [{ isTls: true }], checksTls: false }, [listener]);
      await toy.ready();
      for (let turn = 0; turn < 2; turn++) {
        if (turn === 0) assert.doesNotMatch(toy.log, /tls.not-configured/);
        const { client } = tlsClient(listener.port);
        await until(() => client.isClosed, 'closed');
        await toy.clients(0);
      }
      await until(() => /tls.not-configured/.test(toy.log), 'log line');
      assert.equal(toy.log.match(/tls\.not-configured/g)?.length, 1);
    });
  });

  it('lets new clients wait while the process is too busy, and serves them afterwards', async () => {
    const listener = master.listen();
    const toy = master.start({ settings: { busy_max_lag: '20 msecs' } }, [listener]);
    await toy.ready();
    const first = master.connect(listener.port);
    await first.expect(/hello/);
    // 6 s of blocks: its own doing, so that no pause of this process lets it rest.
    first.send('hog 150 40\n');
    await until(() => /load\.busy/.test(toy.log), 'busy');
    const waiting = master.connect(listener.port);
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.equal(waiting.received, '');
    assert.match(toy.log, /Too busy: event loop is \d+ ms late \(busy_max_lag = 20 ms\); new clients wait/);
    await waiting.expect(/hello/);
    await until(() => /load\.normal/.test(toy.log), 'log line');
    first.send('still served\n');
    await first.expect(/still served/);
  });
});
