import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server, Socket } from 'node:net';
import { after, describe, it } from 'node:test';
import { RemoteDelivery } from '#services/smtp/remote-delivery.js';

const recipient = { user: { user: 'anna', fields: {} }, address: 'anna+x@localhost', mailbox: 'INBOX' };
const options = { service: 'lmtp', expectedBytes: 12, autocreate: false, autosubscribe: false };
const never = new AbortController().signal;
const noStore = { openUser: () => Promise.reject(new Error('not here')) };

/** An LMTP server that answers by a table; its answers may come in pieces. */
class Peer implements AsyncDisposable {
  readonly #server: Server;
  readonly commands: string[] = [];
  message = '';

  #onCommand = (): void => undefined;
  #isConnected = false;

  private constructor(answers: Readonly<Record<string, string>>, pieces: number, greeting: string) {
    this.#server = createServer((socket) => {
      this.#isConnected = true;
      this.#onCommand();
      const say = (text: string): void => {
        for (let at = 0; at < text.length; at += pieces) socket.write(text.slice(at, at + pieces));
      };
      say(greeting);
      let received = '';
      socket.on('error', () => undefined);
      socket.setEncoding('latin1').on('data', (chunk: string) => {
        received += chunk;
        for (let end = received.indexOf('\r\n'); end >= 0; end = received.indexOf('\r\n')) {
          const line = received.slice(0, end);
          const [verb = '', size = '0'] = line.split(' ');
          const octets = verb === 'BDAT' ? Number(size) : 0;
          if (received.length < end + 2 + octets) return;
          this.message += received.slice(end + 2, end + 2 + octets);
          received = received.slice(end + 2 + octets);
          this.commands.push(line);
          this.#onCommand();
          const answer = answers[line.endsWith('LAST') ? 'LAST' : verb] ?? '250-2.0.0 more\r\n250 2.0.0 OK\r\n';
          if (answer === 'close') socket.destroy();
          else say(answer);
        }
      });
    });
  }

  static async start(answers: Readonly<Record<string, string>> = {}, pieces = 1_000, greeting = '220 there\r\n'): Promise<Peer> {
    const peer = new Peer(answers, pieces, greeting);
    peer.#server.listen(0, '127.0.0.1');
    await once(peer.#server, 'listening');
    return peer;
  }

  /** The connection, or this command, has come. */
  async reached(what: string): Promise<void> {
    while (what === '220' ? !this.#isConnected : !this.commands.some((line) => line.startsWith(what))) {
      await new Promise<void>((resolve) => {
        this.#onCommand = resolve;
      });
    }
  }

  readonly open = async (): Promise<Socket> => {
    const address = this.#server.address();
    // As connections between processes are: the end of one direction does not end the other.
    const socket = new Socket({ allowHalfOpen: true });
    socket.connect(typeof address === 'object' && address !== null ? address.port : 0, '127.0.0.1');
    await once(socket, 'connect');
    return socket;
  };

  delivery(): RemoteDelivery {
    return new RemoteDelivery(recipient, { sender: 's@example.com', isUtf8: true }, this.open);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    await Promise.resolve();
  }
}

describe('Delivery by another process', () => {
  const peers: Peer[] = [];
  after(async () => {
    for (const peer of peers) await peer[Symbol.asyncDispose]();
  });
  const start = async (...how: Parameters<typeof Peer.start>): Promise<Peer> => {
    const peer = await Peer.start(...how);
    peers.push(peer);
    return peer;
  };

  for (const pieces of [1, 2, 7, 1_000]) {
    it(`tells sender, size and recipient, and sends every octet as it is (replies in pieces of ${pieces})`, async () => {
      const peer = await start({}, pieces);
      const delivery = peer.delivery();
      await delivery.begin(noStore, options, never);
      for (const chunk of ['.\r\n', '..\r\n', 'x'.repeat(300_000), '\r\n']) await delivery.write(Buffer.from(chunk));
      await delivery.end();
      assert.equal(
        peer.commands.some((line) => line.endsWith('LAST')),
        false,
        'nothing is final before commit',
      );
      assert.deepEqual(await delivery.commit(), { kind: 'saved', mailbox: 'INBOX' });
      assert.deepEqual(peer.commands.slice(0, 3), [
        'LHLO localhost',
        'MAIL FROM:<s@example.com> SIZE=12 SMTPUTF8',
        'RCPT TO:<anna+x@localhost>',
      ]);
      assert.equal(peer.message, `.\r\n..\r\n${'x'.repeat(300_000)}\r\n`);
    });
  }

  for (const [command, answer, code] of [
    ['RCPT', '552 5.2.2 <a> Quota exceeded\r\n', 'over-quota'],
    ['RCPT', '452 4.2.2 <a> Quota exceeded\r\n', 'over-quota'],
    ['RCPT', '451 4.2.0 <a> Mailbox is locked\r\n', 'unavailable'],
    ['RCPT', '550 5.1.1 <a> unknown\r\n', 'unavailable'],
    ['LAST', '452 4.3.1 <a> Out of disk space\r\n', 'no-space'],
    ['LAST', '552 5.2.3 <a> too large\r\n', 'too-big'],
    ['LAST', 'close', 'unavailable'],
    ['BDAT', 'close', 'unavailable'],
    ['LHLO', 'close', 'unavailable'],
    ['MAIL', `${'x'.repeat(20_000)}`, 'unavailable'],
  ] as const) {
    it(`fails with ${code} when ${command} is answered with ${answer.trim().slice(0, 30)}`, async () => {
      const peer = await start({ [command]: answer });
      const delivery = peer.delivery();
      await delivery.begin(noStore, options, never);
      await delivery.write(Buffer.from('text'));
      await delivery.end();
      const outcome = await delivery.commit();
      assert.equal(outcome.kind === 'failed' ? outcome.error.code : 'saved', code);
      assert.equal(delivery.failure?.code, code);
      assert.equal(delivery.failure?.clientText, code === 'over-quota' ? 'Quota exceeded' : undefined);
    });
  }

  it('fails when no process can be had', async () => {
    const delivery = new RemoteDelivery(recipient, { sender: '', isUtf8: false }, () => Promise.reject(new Error('process_limit reached')));
    await delivery.begin(noStore, options, never);
    await delivery.write(Buffer.from('text'));
    assert.match(delivery.failure?.message ?? '', /process_limit reached/);
    assert.equal((await delivery.commit()).kind, 'failed');
    await delivery.abort();
  });

  for (const silent of ['220', 'MAIL', 'RCPT']) {
    it(`fails at once when it is given up while it waits for the answer to ${silent}`, async () => {
      const peer = await start({ [silent]: '' }, 1_000, silent === '220' ? '' : undefined);
      const stop = new AbortController();
      const delivery = peer.delivery();
      const begun = delivery.begin(noStore, options, stop.signal);
      await peer.reached(silent);
      stop.abort();
      await begun;
      assert.equal(delivery.failure?.code, 'unavailable');
      assert.match(delivery.failure?.message ?? '', /shutting down/);
      await delivery.abort();
    });
  }

  it('lets go of a process that comes when it was given up', async () => {
    const peer = await start();
    const stop = new AbortController();
    let opened: Socket | undefined;
    const delivery = new RemoteDelivery(recipient, { sender: '', isUtf8: false }, async () => {
      opened = await peer.open();
      stop.abort();
      return opened;
    });
    await delivery.begin(noStore, options, stop.signal);
    assert.equal(delivery.failure?.code, 'unavailable');
    assert.equal(opened?.destroyed, true);
  });

  it('says nothing final when it is aborted', async () => {
    const peer = await start();
    const delivery = peer.delivery();
    await delivery.begin(noStore, { ...options, expectedBytes: undefined }, never);
    await delivery.write(Buffer.from('text'));
    await delivery.abort();
    assert.equal(
      peer.commands.some((line) => line.endsWith('LAST')),
      false,
    );
  });
});
