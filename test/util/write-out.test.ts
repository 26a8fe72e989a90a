import assert from 'node:assert/strict';
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, statSync, symlinkSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { hasJournal, journalOf, keepsOrder, NameSyncs, nativeWriteOut, ownNameSyncs, typeIn, writesNameLast } from '#util/write-out.js';

const mounts = `22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw,discard
23 22 0:5 / /dev rw,nosuid - devtmpfs devtmpfs rw
24 22 8:17 / /srv/with\\040space rw - xfs /dev/sdb1 rw
25 22 259:1048575 / /mnt rw master:3 propagate_from:2 - ext2 /dev/nvme0n1p1 rw
`;

describe('The type of a file system', () => {
  it('is found by the device number', () => {
    assert.equal(typeIn(mounts, 254 * 256), 'ext4');
    assert.equal(typeIn(mounts, 8 * 256 + 17), 'xfs');
    assert.equal(typeIn(mounts, 5), 'devtmpfs');
    assert.equal(typeIn(mounts, 259 * 256 + 0xff + 0xfff * 2 ** 20), 'ext2');
    assert.equal(typeIn(mounts, 9 * 256), undefined);
    assert.equal(typeIn('', 5), undefined);
    assert.equal(typeIn('22 1 254:0 / / rw', 254 * 256), undefined);
  });

  it('of /proc keeps no order, nor does what is not there', () => {
    assert.equal(keepsOrder('/proc'), false);
    assert.equal(keepsOrder('/no/such/folder'), false);
    assert.equal(writesNameLast('/proc'), false);
    assert.equal(writesNameLast('/no/such/folder'), false);
  });
});

describe('An ext4', () => {
  it('keeps no order where it was made without a journal, or the kernel does not say', () => {
    const sys = mkdtempSync(join(tmpdir(), 'roost-sys-'));
    try {
      mkdirSync(join(sys, 'dev/block'), { recursive: true });
      for (const [number, name, task] of [
        ['254:0', 'vda', '<none>\n'],
        ['254:17', 'vdb1', '312\n'],
        ['7:3', 'loop3', undefined],
      ] as const) {
        symlinkSync(`../../devices/virtual/block/${name}`, join(sys, 'dev/block', number));
        mkdirSync(join(sys, 'fs/ext4', name), { recursive: true });
        if (task !== undefined) writeFileSync(join(sys, 'fs/ext4', name, 'journal_task'), task);
      }
      assert.equal(hasJournal(254 * 256, sys), false);
      assert.equal(hasJournal(254 * 256 + 17, sys), true);
      assert.equal(hasJournal(7 * 256 + 3, sys), false);
      assert.equal(hasJournal(8 * 256, sys), false);
    } finally {
      rmSync(sys, { recursive: true });
    }
  });
});

describe('Writing out', { skip: nativeWriteOut() === undefined }, () => {
  it('waits for a file, and fails with a closed one', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'roost-write-out-'));
    try {
      const writeOut = nativeWriteOut();
      assert.ok(writeOut);
      assert.equal(typeof keepsOrder(folder), 'boolean');
      const fd = openSync(join(folder, 'file'), 'w');
      writeSync(fd, 'x'.repeat(100_000));
      await writeOut(fd);
      assert.equal(statSync(join(folder, 'file')).size, 100_000);
      closeSync(fd);
      // A pipe, a folder or nothing: the kernel refuses.
      await assert.rejects(writeOut(-1), { code: 'EIO' });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

interface Run {
  readonly fds: readonly number[];
  readonly end: (error?: Error) => void;
}

describe('The fsyncs of files that got their names', () => {
  it('run one at a time; who comes meanwhile shares the next run', async () => {
    const runs: Run[] = [];
    const syncs = new NameSyncs(
      (fds) =>
        new Promise((resolve, reject) => runs.push({ fds: [...fds], end: (error) => (error === undefined ? resolve() : reject(error)) })),
    );
    const told: string[] = [];
    const ask = (fd: number): Promise<void> =>
      syncs.request(fd).then(
        () => void told.push(`${fd} durable`),
        () => void told.push(`${fd} failed`),
      );
    const first = ask(1);
    const others = [ask(2), ask(3), ask(4)];
    assert.deepEqual(
      runs.map(({ fds }) => fds),
      [[1]],
    );
    runs[0]?.end(new Error('EIO'));
    await first;
    assert.deepEqual(told, ['1 failed']);
    assert.deepEqual(
      runs.map(({ fds }) => fds),
      [[1], [2, 3, 4]],
    );
    const late = ask(5);
    runs[1]?.end();
    await Promise.all(others);
    assert.deepEqual(told.slice(1).sort(), ['2 durable', '3 durable', '4 durable']);
    assert.deepEqual(
      runs.map(({ fds }) => fds),
      [[1], [2, 3, 4], [5]],
    );
    runs[2]?.end();
    await late;
    const again = ask(6);
    runs[3]?.end();
    await again;
    assert.deepEqual(told.slice(4), ['5 durable', '6 durable']);
  });

  it('wait for a file that is named before its octets are durable', async () => {
    const runs: Run[] = [];
    const syncs = new NameSyncs((fds) => new Promise((resolve) => runs.push({ fds: [...fds], end: () => resolve() })));
    assert.equal(syncs.claim(1), true);
    assert.equal(syncs.claim(2), false, 'one at a time');
    const before = syncs.request(3);
    assert.equal(syncs.claimed, undefined, 'it has no name yet, so nobody waits');
    syncs.named(1);
    const own = syncs.request(1);
    const after = syncs.request(4);
    const told = syncs.claimed;
    assert.ok(told !== undefined);
    runs[0]?.end();
    await before;
    assert.deepEqual(
      runs.map(({ fds }) => fds),
      [[3], [1]],
    );
    runs[1]?.end();
    await own;
    assert.equal(runs.length, 2, 'until it is told that it is durable');
    syncs.giveBack();
    await told;
    assert.equal(syncs.claimed, undefined);
    await setImmediate();
    assert.equal(syncs.claim(5), false, 'a run is under way');
    runs[2]?.end();
    await after;
    assert.equal(syncs.claim(5), true);
  });

  it('are one for all files of a run on a file system that keeps the order: that of the last', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'roost-write-out-'));
    try {
      const synced: number[] = [];
      const sync = async (fd: number): Promise<void> => {
        await setImmediate();
        synced.push(fd);
      };
      const journal = journalOf(folder, sync);
      assert.equal(journalOf(folder, sync), journal);
      await Promise.all([1, 2, 3, 4].map((fd) => journal.request(fd)));
      assert.deepEqual(synced, [1, 4]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('are one for each file where each makes its own name durable; all of a run wait for all of it, and for a failure', async () => {
    const ended: number[] = [];
    const syncs = ownNameSyncs(async (fd) => {
      for (let turns = fd; turns > 0; turns -= 1) await setImmediate();
      ended.push(fd);
      if (fd === 2) throw new Error('EIO');
    });
    const told = await Promise.allSettled(
      [1, 2, 3].map((fd) => syncs.request(fd).finally(() => assert.deepEqual(ended, fd === 1 ? [1] : [1, 2, 3]))),
    );
    assert.deepEqual(
      told.map(({ status }) => status),
      ['fulfilled', 'rejected', 'rejected'],
    );
  });
});
