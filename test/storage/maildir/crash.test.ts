// Processes are killed in the middle of their work. What they had acknowledged must be there, under the same UIDs, and only once.
// ROOST_CRASH_ROUNDS sets how often (25 unless told: 50 in all), ROOST_CRASH_PROCESSES with how many processes at once (1,2 unless told); ROOST_CRASH_FSYNC=optimized
// lets them wait for the disk.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { silentLogger } from '#log/logger.js';
import { unlimitedQuota } from '#storage/driver.js';
import type { Mailbox, MailboxView } from '#storage/mailbox.js';
import { createMaildirDriver } from '#storage/maildir/driver.js';
import type { Step } from './crash-child.js';

const kills = Number(process.env['ROOST_CRASH_ROUNDS'] ?? 25);
const never = new AbortController().signal;

interface KnownMessage {
  readonly token: string;
  flags: number | undefined;
  keywords: readonly string[] | undefined;
}

/** What has been acknowledged. Messages an unfinished step was about are dropped from it. */
class Acknowledged {
  readonly boxes = new Map<string, Map<number, KnownMessage>>([
    ['A', new Map()],
    ['B', new Map()],
  ]);
  /** Delivered, UID not known. */
  readonly delivered = new Map<string, Set<string>>([
    ['A', new Set()],
    ['B', new Set()],
  ]);
  readonly expunged = new Map<string, Set<number>>([
    ['A', new Set()],
    ['B', new Set()],
  ]);
  /** A message may have several copies. */
  readonly copied = new Set<string>();
  steps = 0;
  /** Every step told, for the report of a failure. */
  readonly journal: string[] = [];

  box(name: string): Map<number, KnownMessage> {
    const box = this.boxes.get(name);
    assert.ok(box);
    return box;
  }

  done(step: Step): void {
    this.steps += 1;
    const box = this.box(step.box);
    const delivered = this.delivered.get(step.box);
    if (step.op === 'append') {
      step.uids.forEach((uid, index) => {
        assert.equal(box.has(uid), false, `UID ${uid} was given twice`);
        box.set(uid, { token: step.tokens[index] ?? '', flags: step.flags, keywords: [] });
      });
    } else if (step.op === 'deliver') for (const token of step.tokens) delivered?.add(token);
    else
      step.uids.forEach((uid, index) => {
        const token = step.tokens[index] ?? '';
        delivered?.delete(token);
        const known = box.get(uid) ?? { token, flags: undefined, keywords: undefined };
        if (step.op === 'store') box.set(uid, { token, flags: step.flags, keywords: step.keywords ?? [] });
        if (step.op === 'copy') this.copied.add(token);
        if (step.op === 'move' || step.op === 'expunge') {
          box.delete(uid);
          this.expunged.get(step.box)?.add(uid);
        }
        const targetUid = step.targetUids?.[index];
        if (step.target !== undefined && targetUid !== undefined) this.box(step.target).set(targetUid, { ...known });
      });
  }

  /** The process died in it: it may have happened, or a part of it. */
  unfinished(step: Step): void {
    for (const [index, token] of step.tokens.entries()) {
      const uid = step.uids[index];
      this.copied.add(token);
      this.delivered.get(step.box)?.delete(token);
      if (uid === undefined) continue;
      const known = this.box(step.box).get(uid);
      if (step.op === 'store' && known !== undefined) {
        known.flags = undefined;
        known.keywords = undefined;
      } else if (step.op !== 'copy') this.box(step.box).delete(uid);
    }
  }
}

class Worker {
  readonly child: ChildProcess;
  #text = '';
  #errors = '';

  constructor(root: string, id: string) {
    const script = fileURLToPath(new URL('./crash-child.js', import.meta.url));
    this.child = spawn(process.execPath, [script, root, id, '3000'], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env['PATH'], ROOST_CRASH_FSYNC: process.env['ROOST_CRASH_FSYNC'] ?? 'never' },
    });
    this.child.stdout?.on('data', (chunk: Buffer) => {
      this.#text += chunk.toString();
    });
    this.child.stderr?.on('data', (chunk: Buffer) => {
      this.#errors += chunk.toString();
    });
  }

  async kill(): Promise<void> {
    assert.equal(this.child.exitCode, null, `the worker died: ${this.#errors}`);
    this.child.kill('SIGKILL');
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, 'exit');
    if (this.child.stdout?.readableEnded === false) await once(this.child.stdout, 'end');
  }

  get hasWorked(): boolean {
    return this.#text.split('\n').length > 4;
  }

  report(acknowledged: Acknowledged): void {
    acknowledged.journal.push(`killed ${this.child.pid}`);
    const steps = this.#text
      .split('\n')
      .filter((line) => line.endsWith('}'))
      .map((line) => JSON.parse(line) as Step);
    let open: Step | undefined;
    for (const step of steps) {
      acknowledged.journal.push(JSON.stringify(step));
      // A step refused because the message was gone is followed by the next begin: it may have done a part.
      if (step.at === 'begin' && open !== undefined) acknowledged.unfinished(open);
      open = step.at === 'begin' ? step : undefined;
      if (step.at === 'done') acknowledged.done(step);
    }
    if (open !== undefined) acknowledged.unfinished(open);
  }
}

async function tokensOf(view: MailboxView): Promise<Map<number, string>> {
  const tokens = new Map<number, string>();
  for (let first = 1; first <= view.count; first += 1000) {
    const seqs = Array.from({ length: Math.min(1000, view.count - first + 1) }, (_, index) => first + index);
    // A removal that the dead process had not told the index yet is noticed at the first touch.
    const gone = new Set(await view.prepare(seqs, { headers: ['x-token'] }, never));
    for (const seq of seqs)
      if (!gone.has(seq)) tokens.set(view.uidAt(seq), view.headerFieldsAt(seq, ['x-token']).toString('latin1').slice(9).trim());
  }
  return tokens;
}

/** A lock that the dead process held does not keep anybody out. */
async function appendAfterwards(mailbox: Mailbox, acknowledged: Acknowledged): Promise<void> {
  const token = `after-${acknowledged.steps}-${mailbox.name}-${mailbox.uidNext}`;
  await using transaction = mailbox.beginAppend('append');
  const content = Buffer.from(`X-Token: ${token}\r\n\r\n`);
  const options = { flags: { system: 0, keywords: [] }, internalDateMs: undefined, expectedBytes: content.length };
  const writer = await transaction.add(options, never);
  await writer.write(content);
  await writer.end();
  const { uids } = await transaction.commit(never);
  acknowledged.done({ at: 'done', op: 'append', box: mailbox.name, tokens: [token], uids, flags: 0 });
}

/** The store looks again after 1.1 s, or after 100 times what a scan costs: seconds on a busy machine. */
const recheckMs = 20_000;

function isHidden(tokens: ReadonlyMap<number, string>, delivered: ReadonlySet<string> = new Set()): boolean {
  const present = new Set(tokens.values());
  return [...delivered].some((token) => !present.has(token));
}

/** Opens everything afresh and compares. */
async function verify(root: string, acknowledged: Acknowledged, uidValidities: Map<string, number>): Promise<void> {
  const driver = createMaildirDriver({ log: silentLogger, fsync: 'never' });
  try {
    for (const name of ['A', 'B']) {
      const mailDir = join(root, name);
      const paths = { mailDir, controlDir: mailDir, indexDir: mailDir, accountControlDir: root };
      const mailbox = await driver.open(paths, { name, quota: unlimitedQuota, isReadOnly: false, log: silentLogger }, never);
      assert.equal(mailbox.uidValidity, uidValidities.get(name) ?? mailbox.uidValidity, 'UIDVALIDITY has changed');
      uidValidities.set(name, mailbox.uidValidity);
      await using view = await mailbox.openView({ readOnly: true }, never);
      let tokens = await tokensOf(view);
      // What came in the same tick of the folder's clock as a change that was noted is found when the folder is looked at again.
      for (const untilMs = Date.now() + recheckMs; isHidden(tokens, acknowledged.delivered.get(name)) && Date.now() < untilMs; ) {
        await new Promise((resolve) => setTimeout(resolve, 200));
        await view.sync({ allowExpunge: true }, never);
        tokens = await tokensOf(view);
      }
      for (const [uid, known] of acknowledged.box(name)) {
        assert.equal(tokens.get(uid), known.token, `${name} UID ${uid}`);
        const seq = view.seqOf(uid);
        if (known.flags !== undefined) assert.equal(view.systemFlagsAt(seq) & 31, known.flags, `flags of ${name} UID ${uid}`);
        if (known.keywords !== undefined)
          assert.deepEqual([...view.keywordsAt(seq)], [...known.keywords], `keywords of ${name} UID ${uid}`);
      }
      for (const uid of acknowledged.expunged.get(name) ?? [])
        assert.equal(tokens.has(uid), false, `expunged UID ${uid} is back in ${name}`);
      const counts = new Map<string, number>();
      for (const token of tokens.values()) counts.set(token, (counts.get(token) ?? 0) + 1);
      for (const token of acknowledged.delivered.get(name) ?? []) assert.equal(counts.get(token), 1, `delivered ${token} in ${name}`);
      for (const [token, count] of counts) if (!acknowledged.copied.has(token)) assert.equal(count, 1, `${token} is there ${count} times`);
      await appendAfterwards(mailbox, acknowledged);
    }
  } finally {
    await driver.close();
  }
}

/** What failed at a random moment cannot be run again: the folder stays, with the journal in it. */
async function keepEvidence(root: string, acknowledged: Acknowledged): Promise<void> {
  await writeFile(join(root, 'journal'), `${acknowledged.journal.join('\n')}\n`);
  process.stderr.write(`kept ${root}\n`);
}

const processCounts = (process.env['ROOST_CRASH_PROCESSES'] ?? '1,2').split(',').map(Number);

for (const processes of processCounts) {
  describe(`a Maildir whose ${processes === 1 ? 'process is' : `${processes} processes are`} killed at any moment`, () => {
    it(`keeps what was acknowledged, once and under the same UIDs, over ${kills} kills`, { timeout: 60_000 + kills * 20_000 }, async () => {
      const root = await mkdtemp(join(tmpdir(), 'roost-crash-'));
      const acknowledged = new Acknowledged();
      try {
        const driver = createMaildirDriver({ log: silentLogger, fsync: 'never' });
        for (const name of ['A', 'B']) {
          const mailDir = join(root, name);
          await driver.create(
            { mailDir, controlDir: mailDir, indexDir: mailDir, accountControlDir: root },
            { isMaildirFolder: false },
            never,
          );
        }
        await driver.close();
        const uidValidities = new Map<string, number>();
        for (let kill = 1; kill <= kills; kill += 1) {
          const workers = Array.from({ length: processes }, (_, index) => new Worker(root, `w${index}`));
          while (workers.some((worker) => !worker.hasWorked && worker.child.exitCode === null)) {
            await new Promise((resolve) => setTimeout(resolve, 2));
          }
          await new Promise((resolve) => setTimeout(resolve, Math.random() * 120));
          for (const worker of workers) await worker.kill();
          for (const worker of workers) worker.report(acknowledged);
          await verify(root, acknowledged, uidValidities);
        }
        assert.ok(acknowledged.steps > kills, `${acknowledged.steps} steps were acknowledged`);
      } catch (error) {
        await keepEvidence(root, acknowledged);
        throw error;
      }
      await rm(root, { recursive: true, force: true });
    });
  });
}
