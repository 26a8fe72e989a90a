import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type DiskSyncs, diskSyncs, poolSyncs } from '#util/disk-syncs.js';

const folder = mkdtempSync(join(tmpdir(), 'roost-syncs-'));
after(() => rmSync(folder, { recursive: true }));

for (const [how, syncs] of [
  ["libuv's threads", () => poolSyncs],
  ['the kernel, where it can', diskSyncs],
] as readonly (readonly [string, () => DiskSyncs])[]) {
  describe(`Syncs by ${how}`, () => {
    it('end for files and folders, more at once than the kernel is given', async () => {
      const fds = Array.from({ length: 100 }, (_, index) => openSync(join(folder, String(index)), 'w'));
      for (const fd of fds) writeSync(fd, 'octets');
      const own = openSync(folder, 'r');
      for (let turn = 0; turn < 3; turn += 1)
        await Promise.all([syncs().file(own), ...fds.map((fd, index) => (index % 2 === 0 ? syncs().file(fd) : syncs().data(fd)))]);
      for (const fd of [own, ...fds]) closeSync(fd);
    });

    it('end for many who ask again and again, each at its own pace', async () => {
      const ended: number[] = [];
      await Promise.all(
        Array.from({ length: 10 }, async (_, index) => {
          const fd = openSync(join(folder, `of-${index}`), 'w');
          for (let turn = 0; turn < 30; turn += 1) {
            writeSync(fd, 'octets');
            await (turn % (index + 1) === 0 ? syncs().file(fd) : syncs().data(fd));
            if (index % 3 === 0) await nextTurn();
          }
          closeSync(fd);
          ended.push(index);
        }),
      );
      assert.equal(ended.length, 10);
    });

    it('fail with the name of the error, without harm to the others', async () => {
      const fd = openSync(join(folder, 'one'), 'w');
      const closed = openSync(join(folder, 'two'), 'w');
      const cannot = openSync('/dev/null', 'w');
      closeSync(closed);
      const outcomes = await Promise.allSettled([
        syncs().file(fd),
        syncs().file(closed),
        syncs().data(fd),
        syncs().data(cannot),
        syncs().file(fd),
      ]);
      assert.deepEqual(
        outcomes.map((outcome) => (outcome.status === 'rejected' ? outcome.reason.code : 'durable')),
        ['durable', 'EBADF', 'durable', 'EINVAL', 'durable'],
      );
      for (const open of [fd, cannot]) closeSync(open);
    });
  });
}

describe('A process', () => {
  const run = (text: string): string =>
    execFileSync(process.execPath, ['--input-type=module', '-e', text], { encoding: 'utf8', timeout: 20_000 });
  const module = new URL('../../dist/src/util/disk-syncs.js', import.meta.url);
  const sync = `const { diskSyncs, forgoKernelSyncs, poolSyncs } = await import(${JSON.stringify(module)});
    const { openSync } = await import('node:fs');
    const fd = openSync(${JSON.stringify(join(folder, 'mine'))}, 'w');`;

  it('lives until its syncs have ended, and no longer', () => {
    assert.equal(run(`${sync} diskSyncs().file(fd).then(() => diskSyncs().data(fd)).then(() => console.log('durable'));`), 'durable\n');
  });

  it('that is copied leaves the kernel alone', () => {
    assert.equal(run(`${sync} forgoKernelSyncs(); console.log(diskSyncs() === poolSyncs);`), 'true\n');
  });
});
