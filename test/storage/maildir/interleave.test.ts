// Several drivers work at once on the same Maildirs, as several processes do, with every file system call taking a random time. What was acknowledged
// is there at the end, under the UID that was told; no UID ever means another message, and nothing goes that nobody took away.
// ROOST_INTERLEAVE_SEEDS=<first>-<last> plays more.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { describe, it } from 'node:test';
import { silentLogger } from '#log/logger.js';
import { StorageError } from '#storage/errors.js';
import { modSeqRecord } from '#storage/index/log-record.js';
import { MailboxIndex } from '#storage/index/mailbox-index.js';
import type { Mailbox, MailboxView } from '#storage/mailbox.js';
import { flagBit } from '#storage/types.js';
import { addMessage, deleted, flagged, flagsAt, never, openView, seen, sync, uidsOf } from '../../contract/world.js';
import { onWrite } from '../../support/file-hooks.js';
import { patienceMs } from '../../support/patience.js';
import { installSlowFiles } from '../../support/slow-files.js';
import { MaildirWorld } from './world.js';

let isSlow = false;
let random: (below: number) => number = () => 0;
installSlowFiles(() => (isSlow && random(3) === 0 ? random(6) : 0));

/** Small numbers that repeat for the same seed; how turns fall does not. */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return (state >>> 8) % below;
  };
}

interface Known {
  token: string | undefined;
  isAcknowledged: boolean;
  mayBeGone: boolean;
  isGone: boolean;
}

/** What all sessions know of a mailbox. */
class Ledger {
  readonly name: string;
  readonly messages = new Map<number, Known>();
  readonly delivered = new Set<string>();
  readonly log: string[];

  constructor(name: string, log: string[]) {
    this.name = name;
    this.log = log;
  }

  of(uid: number): Known {
    let known = this.messages.get(uid);
    if (known === undefined) {
      known = { token: undefined, isAcknowledged: false, mayBeGone: false, isGone: false };
      this.messages.set(uid, known);
    }
    return known;
  }

  saved(uid: number, token: string | undefined): void {
    const known = this.of(uid);
    assert.equal(known.isAcknowledged, false, `${this.name}: UID ${uid} was given twice`);
    known.isAcknowledged = true;
    if (token !== undefined) this.is(uid, token);
  }

  hasFlags(uid: number, modSeq: number, flags: string): void {
    const key = `${uid} at ${modSeq}`;
    assert.equal(this.#flagsAt.get(key) ?? flags, flags, `${this.name}: flags of UID ${key}`);
    this.#flagsAt.set(key, flags);
  }
  readonly #flagsAt = new Map<string, string>();

  is(uid: number, token: string): void {
    const known = this.of(uid);
    assert.equal(known.token ?? token, token, `${this.name}: UID ${uid} is another message`);
    known.token = token;
  }

  gone(uid: number, who: string): void {
    const known = this.of(uid);
    known.isGone = true;
    assert.ok(known.mayBeGone || !known.isAcknowledged, `${this.name}: ${who} was told that UID ${uid} is gone and nobody expunged it`);
  }
}

interface Side {
  readonly name: string;
  readonly boxes: readonly [Mailbox, Mailbox];
  readonly views: readonly [MailboxView, MailboxView];
  /** The modseq that each session was told of each UID. */
  readonly modSeqs: readonly [Map<number, number>, Map<number, number>];
}

class Play {
  readonly log: string[] = [];
  readonly ledgers = [new Ledger('A', this.log), new Ledger('B', this.log)] as const;
  readonly world: MaildirWorld;
  #made = 0;

  constructor(world: MaildirWorld) {
    this.world = world;
  }

  #tell(side: Side, text: string): void {
    this.log.push(`${side.name}: ${text}`);
  }

  async #sync(side: Side, which: 0 | 1): Promise<void> {
    const view = side.views[which];
    const { expunged } = await sync(view);
    if (expunged.length > 0) this.#tell(side, `told ${this.ledgers[which].name} -${expunged.map(({ uid }) => uid).join()}`);
    for (const { uid } of expunged) this.ledgers[which].gone(uid, side.name);
    await this.#read(side, which);
  }

  /** Of each message, none is ever below the one told before, and one modseq is one set of flags for everybody (RFC 7162 3.1). */
  #readModSeqs(side: Side, which: 0 | 1): void {
    const view = side.views[which];
    const told = side.modSeqs[which];
    for (let seq = 1; seq <= view.count; seq += 1) {
      if (view.isExpunged(seq)) continue;
      const [uid, modSeq] = [view.uidAt(seq), view.modSeqAt(seq)];
      const before = told.get(uid) ?? 0;
      assert.ok(modSeq >= before, `${this.ledgers[which].name}: ${side.name} was told modseq ${before} of UID ${uid}, now ${modSeq}`);
      told.set(uid, modSeq);
      this.ledgers[which].hasFlags(uid, modSeq, `${view.systemFlagsAt(seq) & ~flagBit.recent}`);
    }
  }

  /** Looks who is who. */
  async #read(side: Side, which: 0 | 1): Promise<void> {
    const view = side.views[which];
    const seqs = Array.from({ length: view.count }, (_, index) => index + 1).slice(-50);
    this.#readModSeqs(side, which);
    const gone = new Set(await view.prepare(seqs, { headers: ['x-token'] }, never));
    this.#readModSeqs(side, which);
    for (const seq of seqs) {
      if (gone.has(seq)) continue;
      const token = view.headerFieldsAt(seq, ['x-token']).toString('latin1').slice(9).trim();
      this.ledgers[which].is(view.uidAt(seq), token);
    }
  }

  async #save(side: Side, which: 0 | 1, kind: 'append' | 'deliver'): Promise<void> {
    const tokens = Array.from({ length: 1 + random(3) }, () => `${side.name}-${++this.#made}`);
    await using transaction = side.boxes[which].beginAppend(kind);
    for (const token of tokens) await addMessage(transaction, `X-Token: ${token}\r\n\r\nx\r\n`, { flags: random(2) === 0 ? seen : 0 });
    const { uids } = await transaction.commit(never);
    this.#tell(side, `${kind} ${this.ledgers[which].name} ${tokens.join()} ${uids.join()}`);
    if (kind === 'deliver') for (const token of tokens) this.ledgers[which].delivered.add(token);
    else for (const [index, uid] of uids.entries()) this.ledgers[which].saved(uid, tokens[index]);
  }

  #some(view: MailboxView): number[] {
    const count = Math.min(view.count, 1 + random(4));
    const first = 1 + random(view.count - count + 1);
    return Array.from({ length: count }, (_, index) => first + index);
  }

  async step(side: Side): Promise<void> {
    const which = random(2) as 0 | 1;
    await this.#act(side, which);
    this.#readModSeqs(side, which);
  }

  async #act(side: Side, which: 0 | 1): Promise<void> {
    const view = side.views[which];
    const choice = random(12);
    if (view.count === 0 || choice < 2) return this.#save(side, which, choice === 0 ? 'deliver' : 'append');
    if (choice === 2) return this.#save(side, which, 'deliver');
    if (choice < 6) return this.#sync(side, which);
    const seqs = this.#some(view);
    const uids = seqs.map((seq) => view.uidAt(seq));
    const ledger = this.ledgers[which];
    if (choice < 9) {
      const flags = [flagged, seen, deleted][random(3)] ?? seen;
      if (flags === deleted) for (const uid of uids) ledger.of(uid).mayBeGone = true;
      const mode = random(2) === 0 ? 'add' : 'remove';
      await view.store(seqs, { mode, flags: { system: flags, keywords: [] }, unchangedSince: undefined }, { silent: true }, never);
      this.#tell(side, `store ${ledger.name} ${mode} ${flags} ${uids.join()}`);
    } else if (choice === 9) {
      await view.expunge(uids, never);
      this.#tell(side, `expunge ${ledger.name} ${uids.join()}`);
    } else {
      const other = random(4) === 0 ? which : which === 0 ? 1 : 0;
      const verb = choice === 10 ? 'move' : 'copy';
      if (verb === 'move') for (const uid of uids) ledger.of(uid).mayBeGone = true;
      this.#tell(side, `begin ${verb} ${ledger.name} ${uids.join()} to ${this.ledgers[other].name}`);
      try {
        const { sourceUids, targetUids } = await view[verb](seqs, side.boxes[other], never);
        this.#tell(side, `${verb} ${ledger.name} ${sourceUids.join()} to ${this.ledgers[other].name} ${targetUids.join()}`);
        for (const [index, uid] of targetUids.entries()) this.ledgers[other].saved(uid, ledger.of(sourceUids[index] ?? 0).token);
      } catch (error) {
        if (!(error instanceof StorageError) || error.code !== 'expunged') throw error;
        this.#tell(side, `${verb}: expunged`);
      }
    }
  }

  /** All is quiet: everybody, and whoever comes new, sees the same, and it is what was acknowledged. */
  async settle(sides: readonly Side[]): Promise<void> {
    for (const which of [0, 1] as const) {
      const ledger = this.ledgers[which];
      const isHidden = (): boolean => sides.some(({ views }) => views[which].count !== sides[0]?.views[which].count);
      for (const untilMs = Date.now() + patienceMs; ; ) {
        for (const side of sides) await this.#sync(side, which);
        const tokens = new Set([...ledger.messages.values()].map(({ token }) => token));
        if (!isHidden() && [...ledger.delivered].every((token) => tokens.has(token))) break;
        if (Date.now() > untilMs) break;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      const fresh = this.world.newDriver();
      try {
        const witness = await openView(await this.world.open(ledger.name, {}, fresh), true);
        const told = (view: MailboxView): string[] =>
          uidsOf(view).map((uid, index) => `${uid} ${flagsAt(view, index + 1)} ${view.modSeqAt(index + 1)}`);
        for (const side of sides) assert.deepEqual(told(side.views[which]), told(witness), `${ledger.name} of ${side.name}`);
        const present = new Set(uidsOf(witness));
        const counts = new Map<string, number>();
        for (const [uid, known] of ledger.messages) {
          if (!present.has(uid)) {
            assert.ok(!known.isAcknowledged || known.mayBeGone, `${ledger.name}: UID ${uid} (${known.token}) is lost`);
            continue;
          }
          assert.equal(known.isGone, false, `${ledger.name}: UID ${uid} is back`);
          const token = known.token ?? '';
          if (!known.isAcknowledged) {
            assert.ok(ledger.delivered.has(token), `${ledger.name}: nobody saved UID ${uid} (${token})`);
            counts.set(token, (counts.get(token) ?? 0) + 1);
          }
        }
        for (const [token, count] of counts) assert.equal(count, 1, `${ledger.name}: delivered ${token} is there ${count} times`);
        const seenTokens = new Set([...ledger.messages.values()].map(({ token }) => token));
        for (const token of ledger.delivered) assert.ok(seenTokens.has(token), `${ledger.name}: delivered ${token} was never seen`);
      } finally {
        await fresh.close();
      }
    }
  }
}

interface Pair {
  readonly indexes: readonly MailboxIndex[];
  readonly lockPath: string;
}

/**
 * Two more processes, which replace the log of a mailbox one after the other just when others write to it: who has not looked meanwhile cannot follow from
 * log to log. Each raises the modseq, so that whoever goes on with what he knew numbers changes otherwise than the others do.
 */
class Replacers {
  readonly #pairs: readonly Pair[];

  private constructor(pairs: readonly Pair[]) {
    this.#pairs = pairs;
  }

  static async open(world: MaildirWorld, names: readonly string[]): Promise<Replacers> {
    const openPair = async (name: string): Promise<Pair> => {
      const folder = world.paths(name).mailDir;
      const open = (): Promise<MailboxIndex> =>
        MailboxIndex.open({ folder, maxKeywordLength: 50, maxHistoryRanges: 100, log: silentLogger });
      return { indexes: [await open(), await open()], lockPath: `${folder}/roost.index.lock` };
    };
    return new Replacers(await Promise.all(names.map(openPair)));
  }

  replace(): void {
    const pair = this.#pairs[random(this.#pairs.length)];
    // Whoever writes the files just now would be waited for, and goes on only after us.
    if (pair === undefined || existsSync(pair.lockPath)) return;
    for (const index of pair.indexes) {
      index.catchUp();
      if (index.needsReload) continue;
      index.append([modSeqRecord(index.state.highestModSeq + random(3))]);
      index.compact();
    }
  }

  async reload(): Promise<void> {
    for (const index of this.#pairs.flatMap(({ indexes }) => indexes)) await index.reload();
  }

  close(): void {
    for (const index of this.#pairs.flatMap(({ indexes }) => indexes)) index.close();
  }
}

async function play(seed: number, drivers: number, compactLogBytes: number): Promise<void> {
  random = randomNumbers(seed);
  await using world = await MaildirWorld.make({ compactLogBytes });
  await world.create('A');
  await world.create('B');
  const more = Array.from({ length: drivers - 1 }, () => world.newDriver());
  const sides: Side[] = [];
  for (const [index, driver] of [world.driver, ...more].entries()) {
    const boxes = [await world.open('A', {}, driver), await world.open('B', {}, driver)] as const;
    // Two sessions of each process.
    for (const half of ['a', 'b'])
      sides.push({
        name: `p${index}${half}`,
        boxes,
        views: [await openView(boxes[0]), await openView(boxes[1])],
        modSeqs: [new Map(), new Map()],
      });
  }
  const game = new Play(world);
  const replacers = await Replacers.open(world, ['A', 'B']);
  try {
    isSlow = true;
    onWrite(() => (random(10) === 0 ? replacers.replace() : undefined));
    await Promise.all(
      sides.map(async (side) => {
        for (let step = 0; step < 40; step += 1) {
          await game.step(side);
          await replacers.reload();
        }
      }),
    );
    onWrite(undefined);
    isSlow = false;
    await game.settle(sides);
  } catch (error) {
    // The others are still at work, which may hide it behind what happens to them when their folders go.
    process.stderr.write(`${game.log.join('\n')}\n${error instanceof Error ? error.stack : ''}\n`);
    throw error;
  } finally {
    onWrite(undefined);
    isSlow = false;
    replacers.close();
    for (const driver of more) await driver.close();
  }
}

describe('Processes that work on the same Maildirs at once', () => {
  const [first = 1, last = 4] = (process.env['ROOST_INTERLEAVE_SEEDS'] ?? '1-4').split('-').map(Number);
  for (let seed = first; seed <= last; seed += 1) {
    const compactLogBytes = [500, 3000, 1_000_000, 1][seed % 4] ?? 500;
    it(`agree with everything that was acknowledged (seed ${seed}, log compacted at ${compactLogBytes} octets)`, async () => {
      await play(seed, 3, compactLogBytes);
    });
  }
});
