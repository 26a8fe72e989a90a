// What wakes folded sessions, and what they do meanwhile, on a clock of the test's own.
import assert from 'node:assert/strict';
import type { Duplex } from 'node:stream';
import { describe, it, type TestContext } from 'node:test';
import { silentLogger } from '#log/logger.js';
import { newCounters } from '#services/imap/counters.js';
import { type FoldedSession, FoldedSessions } from '#services/imap/folded-sessions.js';
import type { Mailbox } from '#storage/mailbox.js';
import { createMemoryAccount } from '#storage/memory/account.js';
import { UserPool } from '#storage/user-pool.js';
import { streamPair } from '../../support/stream-pair.js';

const minuteMs = 60_000;
const request = {
  service: 'imap',
  user: 'alice',
  authPid: 0,
  authId: 0,
  cookie: '',
  loginPid: 1,
  sessionId: 's',
  peer: { remoteIp: '192.0.2.1', remotePort: 1, localIp: '192.0.2.2', localPort: 143, tls: undefined, isSecured: true, isTrusted: false },
  fields: {},
} as const;

/** Of what is watched, only this is asked for. */
class WatchedMailbox {
  modSeq = 10;
  watches = 0;
  #onChange: (() => void) | undefined;

  watch(onChange: () => void): () => void {
    this.watches += 1;
    this.#onChange = onChange;
    return () => {
      this.watches -= 1;
    };
  }
  hasNewsSince(modSeq: number): boolean {
    return this.modSeq > modSeq;
  }
  change(modSeq: number): void {
    this.modSeq = modSeq;
    this.#onChange?.();
  }
}

class World {
  readonly mailbox = new WatchedMailbox();
  openAccounts = 0;
  readonly sessions: FoldedSessions;
  readonly #fields = { user: 'alice', fields: {} };
  readonly #user = createMemoryAccount()();

  constructor(test: TestContext) {
    test.mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1_700_000_000_000 });
    const startMs = Date.now();
    test.mock.method(performance, 'now', () => Date.now() - startMs);
    const opener = {
      openUser: () => {
        this.openAccounts += 1;
        const user = createMemoryAccount()();
        const dispose = user[Symbol.asyncDispose].bind(user);
        user[Symbol.asyncDispose] = () => {
          this.openAccounts -= 1;
          return dispose();
        };
        return Promise.resolve(user);
      },
    };
    this.sessions = new FoldedSessions(new UserPool(opener, 'imap'), silentLogger);
    test.after(() => this.sessions.close());
  }

  fold({ keepAliveMs = 0, modSeq = 10 } = {}): {
    readonly session: FoldedSession;
    readonly near: Duplex;
    readonly far: Duplex;
    woken: number;
    heard: string;
  } {
    const [near, far] = streamPair();
    const folded = { woken: 0, heard: '', near, far };
    far.on('data', (chunk: Buffer) => {
      folded.heard += chunk.toString('latin1');
    });
    const view = {
      uidValidity: 1,
      isReadOnly: false,
      uids: [],
      uidNext: 1,
      highestModSeq: modSeq,
      recent: [],
      recentCount: 0,
      keywordCount: 0,
    };
    const state = {
      version: 1,
      tag: 'a1',
      enabled: [],
      selected: { name: 'INBOX', view },
      savedSearch: [],
      counters: newCounters(),
      bytesRead: 10,
      bytesWritten: 20,
      lastInputAtMs: Date.now(),
      idleSinceMs: Date.now(),
      keepAliveAtMs: keepAliveMs === 0 ? 0 : Date.now() + keepAliveMs,
    } as const;
    const session = this.sessions.fold(
      {
        stream: near,
        request,
        state,
        fields: this.#fields,
        user: this.#user,
        mailbox: this.mailbox as unknown as Mailbox,
        idleTimeoutMs: 30 * minuteMs,
        keepAliveMs,
      },
      {
        woken: () => {
          folded.woken += 1;
        },
      },
    );
    return Object.assign(folded, { session });
  }
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

/** Minutes, one by one, so that what is written is also read. */
async function pass(test: TestContext, minutes: number): Promise<void> {
  for (let minute = 0; minute < minutes; minute += 1) {
    test.mock.timers.tick(minuteMs);
    await settled();
  }
}

describe('Folded sessions of one mailbox', () => {
  it('share a watch and the account, until the last one has left', async (test) => {
    const world = new World(test);
    const both = [world.fold(), world.fold()];
    await settled();
    assert.deepEqual([world.mailbox.watches, world.openAccounts], [1, 1]);
    both[0]?.session.leave();
    both[0]?.session.leave();
    await settled();
    assert.deepEqual([world.mailbox.watches, world.openAccounts], [1, 1]);
    both[1]?.session.leave();
    await settled();
    assert.deepEqual([world.mailbox.watches, world.openAccounts], [0, 0]);
  });

  it('are woken once, by changes that they do not know', async (test) => {
    const world = new World(test);
    const [old, current] = [world.fold({ modSeq: 10 }), world.fold({ modSeq: 11 })];
    world.mailbox.change(11);
    assert.equal(old.woken, 0, 'never at once');
    await settled();
    assert.deepEqual([old.woken, current.woken], [1, 0]);
    world.mailbox.change(12);
    await settled();
    assert.deepEqual([old.woken, current.woken], [1, 1]);
  });
});

describe('A folded session', () => {
  it('is woken by its client, whose words wait', async (test) => {
    const folded = new World(test).fold();
    folded.far.write('DO');
    await settled();
    assert.equal(folded.woken, 1);
    assert.equal(folded.session.isGone, false);
  });

  it('knows that its client has gone without a word', async (test) => {
    const folded = new World(test).fold();
    folded.far.end();
    await settled();
    assert.equal(folded.woken, 1);
    assert.equal(folded.session.isGone, true);
  });

  it('tells the client that it is still here, counts those octets, and is woken when the client was silent too long', async (test) => {
    const folded = new World(test).fold({ keepAliveMs: 2 * minuteMs });
    await pass(test, 7);
    assert.equal(folded.heard, '* OK Still here\r\n'.repeat(3));
    const { state } = folded.session.unfold();
    assert.equal(state.bytesWritten, 20 + 3 * 17);
    assert.equal(state.keepAliveAtMs, Date.now() + minuteMs);
    await pass(test, 22);
    assert.equal(folded.woken, 0);
    test.mock.timers.tick(minuteMs);
    test.mock.timers.tick(1_000);
    await settled();
    assert.equal(folded.woken, 1);
  });

  it('says nothing where the setting is 0', async (test) => {
    const folded = new World(test).fold();
    await pass(test, 29);
    assert.equal(folded.heard, '');
    assert.equal(folded.session.unfold().state.keepAliveAtMs, 0);
  });

  it('is woken, and told nothing more, when its client does not read', async (test) => {
    const folded = new World(test).fold({ keepAliveMs: minuteMs });
    folded.far.pause();
    for (let minute = 0; minute < 29 && folded.woken === 0; minute += 1) {
      folded.near.cork();
      await pass(test, 1);
    }
    assert.equal(folded.woken, 1);
  });

  it('leaves nothing at its stream', async (test) => {
    const world = new World(test);
    const folded = world.fold();
    folded.session.letGo();
    folded.session.leave();
    folded.far.write('x');
    await settled();
    assert.equal(folded.woken, 0);
  });
});
