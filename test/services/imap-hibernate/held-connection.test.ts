// One held client on a clock of the test's own: what ends the hold, and what is said then.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { describe, it, type TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { type HoldOrder, hibernatedFields } from '#ipc/hibernation.js';
import type { HandoffRequest } from '#ipc/peer.js';
import { silentLogger } from '#log/logger.js';
import type { HandoffOutcome } from '#service-kit/role.js';
import { FolderWatch } from '#services/imap-hibernate/folder-watch.js';
import { HeldConnection } from '#services/imap-hibernate/held-connection.js';
import { LineClient } from '../../support/line-client.js';
import { socketPair, talkOver } from '../../support/socket-pair.js';
import { streamPair } from '../../support/stream-pair.js';

const minuteMs = 60_000;
const full: HandoffOutcome = { kind: 'full', reason: 'process_limit (1) reached' };
const passed: HandoffOutcome = { kind: 'passed', pid: 7 };

/** What the imap processes answer to an offer, and what has come from the client by then. */
type Answer = (offer: {
  readonly number: number;
  readonly atMs: number;
  readonly readAhead: string;
  /** There is a process, which is about to answer. */
  readonly found: () => void;
}) => HandoffOutcome | Promise<HandoffOutcome> | 'waits';

interface World {
  readonly client: LineClient;
  readonly held: HeldConnection;
  readonly stream: Duplex;
  /** Times of the offers, ms since the start. */
  readonly offers: number[];
  /** Resolves when the client no longer counts. */
  readonly released: Promise<void>;
  readonly request: HandoffRequest;
  readonly goneCount: () => number;
  advance(ms: number): void;
  /** Something happens in the watched folder. */
  change(): void;
  kick(): void;
}

function hold(
  test: TestContext,
  answer: Answer,
  order: Partial<HoldOrder> = {},
  fields?: HandoffRequest['fields'],
  [near, stream]: readonly [Duplex, Duplex] = streamPair(),
): World {
  const folder = mkdtempSync(join(tmpdir(), 'roost-hold-'));
  const folders = new FolderWatch(silentLogger);
  const client = new LineClient(near);
  const wholeOrder: HoldOrder = {
    folders: [{ path: folder, mtimeMs: statSync(folder).mtimeMs }],
    keepAliveMs: 0,
    inactivityMs: 30 * minuteMs,
    logoutText: 'in=1 out=2',
    ...order,
  };
  const request: HandoffRequest = {
    service: 'imap-hibernate',
    user: 'alice',
    authPid: 0,
    authId: 0,
    cookie: '',
    loginPid: 0,
    sessionId: 'abc',
    peer: { remoteIp: '::1', remotePort: 1, localIp: '::1', localPort: 2, tls: undefined, isSecured: true, isTrusted: false },
    fields: fields ?? hibernatedFields({ session: '{}', seal: 'x', hold: wholeOrder }),
  };
  let nowMs = 1_000_000;
  const startMs = nowMs;
  const offers: number[] = [];
  let gone = 0;
  let onKick = (): void => undefined;
  let release = (): void => undefined;
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const held = new HeldConnection(
    {
      log: silentLogger,
      anvil: {
        connect: (_session, kick) => {
          onKick = kick;
          return () => undefined;
        },
        counting: undefined,
        lookup: async () => 0,
        penalty: async () => ({ value: 0, lastSeconds: 0 }),
        setPenalty: () => undefined,
      },
      // As the kit does it: what has come is taken along, and put back when nobody takes it.
      passOn: async (_connection, offered, wait) => {
        assert.equal(offered.service, 'imap');
        offers.push(nowMs - startMs);
        let ahead: unknown;
        let isTaken = false;
        const take = (): void => {
          if (isTaken) return;
          isTaken = true;
          wait?.onFound();
          stream.removeAllListeners('readable');
          ahead = stream.read();
        };
        const answered = answer({
          number: offers.length,
          atMs: nowMs - startMs,
          get readAhead() {
            take();
            return Buffer.isBuffer(ahead) ? ahead.toString() : '';
          },
          found: take,
        });
        if (answered === 'waits') await new Promise((resolve) => wait?.signal.addEventListener('abort', resolve));
        else await turn();
        const outcome = answered === 'waits' ? full : await answered;
        take();
        if (outcome.kind === 'passed') stream.destroy();
        else if (Buffer.isBuffer(ahead)) stream.unshift(ahead);
        return outcome;
      },
    },
    folders,
    {
      stream,
      request,
      release,
      get writableLength() {
        return stream.writableLength;
      },
    },
    () => {
      gone += 1;
    },
    {
      nowMs: () => nowMs,
      wait: async (ms) => {
        nowMs += ms;
        await turn();
      },
    },
  );
  test.after(() => {
    folders.close();
    client.close();
    stream.destroy();
    rmSync(folder, { recursive: true, force: true });
  });
  held.start();
  return {
    client,
    held,
    stream,
    offers,
    released,
    request,
    goneCount: () => gone,
    advance: (ms) => {
      nowMs += ms;
      held.tick(nowMs);
    },
    change: () => writeFileSync(join(folder, `${offers.length}.new`), ''),
    kick: () => onKick(),
  };
}

describe('A held client', () => {
  it('goes back with its first words', async (test) => {
    const words: string[] = [];
    const world = hold(test, ({ readAhead }) => {
      words.push(readAhead);
      return passed;
    });
    world.client.raw('DONE\r\n');
    await world.released;
    assert.deepEqual(words, ['DONE\r\n']);
    assert.equal(await world.client.line(), undefined);
  });

  it('that waits for an answer is offered for 10 s, after pauses of up to 1 s, then told that the server is busy', async (test) => {
    const world = hold(test, () => full);
    world.client.raw('DONE\r\n');
    assert.equal(await world.client.line(), '* BYE [UNAVAILABLE] Server is busy. Try again later.');
    assert.equal(await world.client.line(), undefined);
    await world.released;
    assert.deepEqual(world.offers.slice(0, 6), [0, 100, 300, 700, 1_500, 2_500]);
    assert.equal(world.offers.at(-1), 10_000);
    assert.equal(world.offers.length, 14);
    assert.ok(world.goneCount() > 0);
  });

  it('is offered until the end of the 10 s, with its words each time', async (test) => {
    const words = new Set<string>();
    const world = hold(test, ({ atMs, readAhead }) => {
      words.add(readAhead);
      return atMs < 10_000 ? full : passed;
    });
    world.client.raw('DONE\r\n');
    await world.released;
    assert.deepEqual([...words], ['DONE\r\n']);
    assert.equal(await world.client.line(), undefined);
  });

  it('whose mailbox has changed is offered for 5 minutes', async (test) => {
    const world = hold(test, () => full);
    world.change();
    assert.equal(await world.client.line(), '* BYE [UNAVAILABLE] Server is busy. Try again later.');
    await world.released;
    assert.equal(world.offers.at(-1), 5 * minuteMs);
    // Thousands of others may be on offer, too.
    assert.deepEqual(world.offers.slice(0, 8), [0, 100, 300, 700, 1_500, 3_100, 6_300, 11_300]);
    assert.ok(world.offers.length < 70, `${world.offers.length} offers`);
  });

  it('that speaks while it is on offer after a change waits 10 s from then', async (test) => {
    const world = hold(test, ({ number }) => {
      if (number === 50) world.client.raw('DONE\r\n');
      return full;
    });
    world.change();
    assert.equal(await world.client.line(), '* BYE [UNAVAILABLE] Server is busy. Try again later.');
    await world.released;
    const askedAtMs = world.offers[49] ?? 0;
    // This clock does not know of the end of a pause before its time.
    assert.ok(Math.abs((world.offers.at(-1) ?? 0) - askedAtMs - 10_000) <= 5_000, `last offer after ${world.offers.at(-1)} ms`);
  });

  it('that goes away while it is on offer is offered no more', async (test) => {
    const world = hold(test, ({ number }) => {
      if (number === 5) world.client.stream.end();
      return full;
    });
    world.change();
    await world.released;
    assert.ok(world.offers.length <= 10, `${world.offers.length} offers`);
    assert.equal(await world.client.line(), undefined);
  });

  for (const [reason, bye] of [
    ['shutdown', '* BYE [UNAVAILABLE] Server shutting down.'],
    ['kicked', '* BYE Disconnected by administrator.'],
    ['queue-full', '* BYE [UNAVAILABLE] Connection queue full'],
  ] as const) {
    it(`says goodbye at once: ${reason}`, async (test) => {
      const world = hold(test, () => full);
      if (reason === 'kicked') world.kick();
      else world.held.stop(reason);
      assert.equal(await world.client.line(), bye);
      await world.released;
      assert.deepEqual(world.offers, []);
    });

    it(`says goodbye while it is on offer: ${reason}`, async (test) => {
      const world = hold(test, ({ number }) => {
        if (number === 3) world.held.stop(reason);
        return full;
      });
      world.client.raw('DONE\r\n');
      assert.equal(await world.client.line(), bye);
      await world.released;
      assert.equal(world.offers.length, 3);
    });
  }

  for (const [reason, bye] of [
    ['shutdown', '* BYE [UNAVAILABLE] Server shutting down.'],
    ['kicked', '* BYE Disconnected by administrator.'],
  ] as const) {
    it(`does not wait for a free process to be told: ${reason}`, async (test) => {
      const world = hold(test, () => {
        setImmediate(() => (reason === 'kicked' ? world.kick() : world.held.stop(reason)));
        return 'waits';
      });
      world.change();
      assert.equal(await world.client.line(), bye);
      await world.released;
      assert.equal(world.offers.length, 1);
    });
  }

  it('hears the goodbye although it is saying something just then', async (test) => {
    const pair = await socketPair(test);
    const world = hold(test, () => full, {}, undefined, pair);
    const { heard, errors } = await talkOver(pair[0], () => world.held.stop('shutdown'));
    await world.released;
    assert.deepEqual([heard, errors], ['* BYE [UNAVAILABLE] Server shutting down.\r\n', []]);
    assert.deepEqual(world.offers, []);
  });

  it('hears that the server is still here while no process is free, and is disconnected when its time is over', async (test) => {
    let offered = (): void => undefined;
    const isOffered = new Promise<void>((resolve) => {
      offered = resolve;
    });
    const world = hold(
      test,
      () => {
        offered();
        return 'waits';
      },
      { keepAliveMs: minuteMs, inactivityMs: 3 * minuteMs },
    );
    world.change();
    await isOffered;
    for (let count = 0; count < 2; count += 1) {
      world.advance(minuteMs);
      assert.equal(await world.client.line(), '* OK Still here');
    }
    world.advance(minuteMs);
    assert.equal(await world.client.line(), '* BYE Disconnected for inactivity.');
    await world.released;
  });

  it('hears nothing from here once a process was found', async (test) => {
    let answer = (_outcome: HandoffOutcome): void => undefined;
    let offered = (): void => undefined;
    const isOffered = new Promise<void>((resolve) => {
      offered = resolve;
    });
    const world = hold(
      test,
      ({ found }) => {
        found();
        offered();
        return new Promise((resolve) => {
          answer = resolve;
        });
      },
      { keepAliveMs: minuteMs },
    );
    world.client.raw('DONE\r\n');
    await isOffered;
    world.advance(minuteMs);
    world.kick();
    await turn();
    answer(passed);
    assert.equal(await world.client.line(), undefined);
    await world.released;
  });

  it('that speaks while it waits for a free process waits 10 s from then', async (test) => {
    const world = hold(test, () => {
      setImmediate(() => world.client.raw('DONE\r\n'));
      return 'waits';
    });
    world.change();
    const ended = world.client.line();
    for (let waitedMs = 0; world.offers.length === 0 || world.stream.readableLength === 0; waitedMs += 1) {
      assert.ok(waitedMs < 5_000);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await turn();
    world.advance(9_900);
    assert.equal(world.goneCount(), 0);
    world.advance(100);
    assert.equal(await ended, '* BYE [UNAVAILABLE] Server is busy. Try again later.');
    await world.released;
    assert.equal(world.offers.length, 1);
  });

  it('that goes away while it waits for a free process waits no longer', async (test) => {
    const world = hold(test, () => {
      setImmediate(() => world.client.stream.destroy());
      return 'waits';
    });
    world.change();
    await world.released;
    assert.equal(world.offers.length, 1);
  });

  it('belongs to the process that has taken it, even when it is to stop just then', async (test) => {
    const world = hold(test, () => {
      world.held.stop('shutdown');
      return passed;
    });
    world.client.raw('DONE\r\n');
    await world.released;
    assert.equal(await world.client.line(), undefined);
  });

  it('is disconnected when the time that was left of its 30 minutes is over', async (test) => {
    const world = hold(test, () => full, { inactivityMs: 29 * minuteMs });
    world.advance(29 * minuteMs - 1);
    await turn();
    assert.equal(world.goneCount(), 0);
    world.advance(1);
    assert.equal(await world.client.line(), '* BYE Disconnected for inactivity.');
    await world.released;
  });

  it('hears that the server is still here as often as was ordered, until the time is over', async (test) => {
    const world = hold(test, () => full, { keepAliveMs: 2 * minuteMs, inactivityMs: 5 * minuteMs });
    for (let minute = 1; minute <= 5; minute += 1) {
      world.advance(minuteMs);
      await turn();
    }
    const lines: (string | undefined)[] = [];
    for (let line = await world.client.line(); line !== undefined; line = await world.client.line()) lines.push(line);
    assert.deepEqual(lines, ['* OK Still here', '* OK Still here', '* BYE Disconnected for inactivity.']);
  });

  it('that takes nothing for two keep-alives is given up', async (test) => {
    const world = hold(test, () => full, { keepAliveMs: minuteMs });
    world.client.stream.pause();
    world.stream.cork();
    world.advance(minuteMs);
    assert.equal(world.goneCount(), 0);
    world.advance(minuteMs);
    await world.released;
    assert.equal(world.goneCount(), 1);
  });

  it('that comes without its order is closed', async (test) => {
    const world = hold(test, () => full, {}, { session: '{}', seal: 'x', hold: '{"folders":[]}' });
    await world.released;
    assert.equal(await world.client.line(), undefined);
    assert.deepEqual(world.offers, []);
  });
});
