// What others may do with a shared mailbox folder they may do with the files in it, whatever the umask of the process is.
import assert from 'node:assert/strict';
import { chmodSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { addFlags, append, contentOf, openView, seen } from '../../contract/world.js';
import { MaildirWorld } from './world.js';

const modeOf = (path: string): string => (statSync(path).mode & 0o777).toString(8);

/** Everything in a mailbox folder, with its mode. */
function modesIn(folder: string): Record<string, string> {
  const modes: Record<string, string> = {};
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    modes[name] = modeOf(path);
    if (statSync(path).isDirectory())
      for (const file of readdirSync(path)) modes[`${name === 'tmp' ? 'lock' : 'message'} in ${name}`] = modeOf(join(path, file));
  }
  return modes;
}

async function modesAfterUse(rootMode: number, umask: number): Promise<Record<string, string>> {
  const before = process.umask(umask);
  try {
    await using world = await MaildirWorld.make();
    chmodSync(world.root, rootMode);
    const mailbox = await world.create('A');
    await append(mailbox);
    await append(mailbox, 'Subject: y\r\n\r\ny\r\n', { flags: seen });
    await using view = await openView(mailbox);
    await addFlags(view, [1], seen, ['Work']);
    await view.prepare([1, 2], { envelope: true }, new AbortController().signal);
    await contentOf(view, 1);
    return { '.': modeOf(world.paths('A').mailDir), ...modesIn(world.paths('A').mailDir) };
  } finally {
    process.umask(before);
  }
}

describe('Files of a mailbox', () => {
  for (const { root, umask, folder, file } of [
    { root: 0o700, umask: 0o022, folder: '700', file: '600' },
    { root: 0o700, umask: 0, folder: '700', file: '600' },
    { root: 0o770, umask: 0o077, folder: '770', file: '660' },
    { root: 0o750, umask: 0o077, folder: '750', file: '640' },
    { root: 0o755, umask: 0o077, folder: '755', file: '644' },
  ]) {
    it(`in a folder of mode ${root.toString(8)} have ${file} with umask ${umask.toString(8)}`, async () => {
      const folders = ['.', 'cur', 'new', 'tmp'];
      const files = [
        'dovecot-uidlist',
        'dovecot-keywords',
        'maildirfolder',
        'message in cur',
        'roost.cache',
        'roost.index',
        'roost.index.log',
      ];
      const expected = Object.fromEntries([
        ...folders.map((name) => [name, folder]),
        ...files.map((name) => [name, file]),
        // Who it is that locks the list.
        ['lock in tmp', '600'],
      ]);
      assert.deepEqual(await modesAfterUse(root, umask), expected);
    });
  }
});
