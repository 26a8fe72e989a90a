// Users with one in-memory mailbox each, for tests of what delivers into them or reads them.
import { EventEmitter } from 'node:events';
import { Duplex } from 'node:stream';
import type { AuthMasterClient, UserFields } from '#auth/client.js';
import type { Peer } from '#ipc/peer.js';
import { silentLogger } from '#log/logger.js';
import { unlimitedQuota } from '#storage/driver.js';
import { StorageError } from '#storage/errors.js';
import type { Mailbox } from '#storage/mailbox.js';
import { createMemoryDriver } from '#storage/memory/driver.js';
import type { MailUser } from '#storage/user.js';
import { patienceMs } from './patience.js';

const never = new AbortController().signal;

export const loopbackPeer: Peer = {
  remoteIp: '127.0.0.1',
  remotePort: 40000,
  localIp: '127.0.0.1',
  localPort: 25,
  tls: undefined,
  isSecured: true,
  isTrusted: false,
};

/** Two ends of a connection. */
export function duplexPair(): [Duplex, Duplex] {
  let pendingA: (() => void) | undefined;
  let pendingB: (() => void) | undefined;
  const a: Duplex = new Duplex({
    read: () => {
      const resume = pendingB;
      pendingB = undefined;
      resume?.();
    },
    write: (chunk: Buffer, _encoding, done) => {
      if (b.push(chunk)) done();
      else pendingA = done;
    },
    final: (done) => {
      b.push(null);
      done();
    },
  });
  const b: Duplex = new Duplex({
    read: () => {
      const resume = pendingA;
      pendingA = undefined;
      resume?.();
    },
    write: (chunk: Buffer, _encoding, done) => {
      if (a.push(chunk)) done();
      else pendingB = done;
    },
    final: (done) => {
      a.push(null);
      done();
    },
  });
  return [a, b];
}

/** A client that speaks lines; `expect` waits for one that matches. */
export class LineClient extends EventEmitter {
  readonly #stream: Duplex;
  #text = '';
  isClosed = false;

  constructor(stream: Duplex) {
    super();
    this.#stream = stream;
    stream.setEncoding('latin1');
    stream.on('data', (text: string) => {
      this.#text += text;
      this.emit('change');
    });
    stream.on('error', () => this.emit('change'));
    stream.on('close', () => this.emit('change'));
    stream.on('end', () => {
      this.isClosed = true;
      this.emit('change');
    });
  }

  send(text: string | Buffer): void {
    this.#stream.write(text);
  }

  close(): void {
    this.#stream.end();
  }

  destroy(): void {
    this.#stream.destroy();
  }

  async line(): Promise<string> {
    return this.#until(() => {
      const end = this.#text.indexOf('\r\n');
      if (end < 0) return undefined;
      const line = this.#text.slice(0, end);
      this.#text = this.#text.slice(end + 2);
      return line;
    });
  }

  /** The last line of a possibly multi-line SMTP reply. */
  async reply(): Promise<string> {
    for (;;) {
      const line = await this.line();
      if (!/^\d{3}-/.test(line)) return line;
    }
  }

  /** All lines up to and without the closing dot. */
  async untilDot(): Promise<string[]> {
    const lines: string[] = [];
    for (let line = await this.line(); line !== '.'; line = await this.line()) lines.push(line);
    return lines;
  }

  async closed(): Promise<void> {
    await this.#until(() => (this.isClosed ? '' : undefined));
  }

  async #until(take: () => string | undefined): Promise<string> {
    for (;;) {
      const taken = take();
      if (taken !== undefined) return taken;
      if (this.isClosed) throw new Error(`connection closed, unread: ${JSON.stringify(this.#text)}`);
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(
          () => reject(new Error(`no answer within ${patienceMs} ms, unread: ${JSON.stringify(this.#text)}`)),
          patienceMs,
        );
        this.once('change', () => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }
}

export class DeliveryWorld {
  readonly #driver = createMemoryDriver();
  readonly #users = new Set<string>();
  /** Thrown when the user's mailbox is opened. */
  readonly broken = new Map<string, StorageError>();

  async addUser(name: string): Promise<void> {
    this.#users.add(name);
    await this.#driver.create(paths(name, 'INBOX'), { isMaildirFolder: false }, never);
  }

  async addMailbox(user: string, mailbox: string): Promise<void> {
    await this.#driver.create(paths(user, mailbox), { isMaildirFolder: true }, never);
  }

  readonly auth: AuthMasterClient = {
    claim: async () => ({ kind: 'unknown' }),
    lookup: async (user) => {
      if (user === 'auth-is-down') return { kind: 'temp_fail', reason: 'auth is down' };
      return this.#users.has(user) ? { kind: 'found', user: { user, fields: {} } } : { kind: 'unknown' };
    },
    list: async () => [...this.#users],
    close: () => undefined,
  };

  readonly store = {
    openUser: async (user: UserFields): Promise<MailUser> => this.#openUser(user.user),
  };

  #openUser(name: string): MailUser {
    const open = async (mailbox: string): Promise<Mailbox> => {
      const failure = this.broken.get(name);
      if (failure !== undefined) throw failure;
      return this.#driver.open(paths(name, mailbox), { name: mailbox, quota: unlimitedQuota, isReadOnly: false, log: silentLogger }, never);
    };
    const unsupported = async (): Promise<never> => {
      throw new StorageError('cannot', 'not in this world');
    };
    return {
      name,
      namespaces: [],
      openMailbox: open,
      create: async (mailbox) => this.#driver.create(paths(name, mailbox), { isMaildirFolder: true }, never),
      list: unsupported,
      delete: unsupported,
      rename: unsupported,
      subscribe: async () => undefined,
      setSpecialUse: unsupported,
      readAttributes: unsupported,
      changeAttributes: unsupported,
      keepAttribute: unsupported,
      readAcl: unsupported,
      setAcl: unsupported,
      quotaRoots: async () => [],
      rightsOn: async () => 'lrwstipekxa',
      ownerOf: () => name,
      allowsAnyone: true,
      reachesOthers: false,
      enforcesAcl: false,
      publishSharing: async () => undefined,
      openOther: async () => undefined,
      canSetQuota: false,
      setQuota: unsupported,
      watchList: async () => () => undefined,
      watch: () => () => undefined,
      [Symbol.asyncDispose]: async () => undefined,
    };
  }

  mailbox(user: string, name = 'INBOX'): Promise<Mailbox> {
    return this.#openUser(user).openMailbox(name, never);
  }

  /** All messages of a mailbox as text. */
  async messages(user: string, name = 'INBOX'): Promise<string[]> {
    const mailbox = await this.mailbox(user, name);
    await using view = await mailbox.openView({ readOnly: true }, never);
    const texts: string[] = [];
    for (let seq = 1; seq <= view.count; seq++) {
      const reader = await view.openMessage(seq, never);
      texts.push((await reader.read(0, reader.size)).toString('latin1'));
      await reader.close();
    }
    return texts;
  }

  async add(user: string, text: string): Promise<void> {
    const mailbox = await this.mailbox(user);
    await using transaction = mailbox.beginAppend('append');
    const writer = await transaction.add(
      { flags: { system: 0, keywords: [] }, internalDateMs: undefined, expectedBytes: undefined },
      never,
    );
    await writer.write(Buffer.from(text, 'latin1'));
    await writer.end();
    await transaction.commit(never);
  }
}

function paths(user: string, mailbox: string) {
  const mailDir = `${user}/${mailbox}`;
  return { mailDir, controlDir: mailDir, indexDir: undefined, accountControlDir: user };
}
