// A view that one process gives up and another takes over.
import assert from 'node:assert/strict';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { MailboxView, SuspendedView } from '#storage/mailbox.js';
import { type FlagSet, flagBit } from '#storage/types.js';
import { MaildirWorld } from './world.js';

const signal = new AbortController().signal;
const flags = (system: number, keywords: readonly string[] = []): FlagSet => ({ system, keywords });

/** Files of messages 1 to 4, one of them already seen. */
const files = { 'cur/1.a:2,': 'A: b\n\n1', 'cur/2.a:2,': 'A: b\n\n2', 'cur/3.a:2,S': 'A: b\n\n3', 'new/4.a': 'A: b\n\n4' };

async function suspended(world: MaildirWorld): Promise<SuspendedView> {
  await world.foreign('box', files);
  const view = await (await world.open('box')).openView({ readOnly: false }, signal);
  const state = view.suspend();
  await view[Symbol.asyncDispose]();
  assert.ok(state);
  const copy: SuspendedView = JSON.parse(JSON.stringify(state));
  return copy;
}

async function resumed(world: MaildirWorld, state: SuspendedView): Promise<MailboxView> {
  const box = await world.open('box', {}, world.newDriver());
  return box.resumeView(state, signal);
}

describe('A suspended Maildir view', () => {
  it('goes on in another process with the same numbers, and has no news when nothing happened', async () => {
    await using world = await MaildirWorld.make();
    const state = await suspended(world);
    await using view = await resumed(world, state);
    assert.equal(view.count, 4);
    assert.equal(view.recentCount, 1);
    assert.deepEqual(await view.sync({ allowExpunge: true }, signal), {
      expunged: [],
      flagsChanged: [],
      exists: undefined,
      recent: undefined,
      newKeywords: false,
    });
  });

  it('reports what was expunged, changed and delivered meanwhile, by the numbers its client knows', async () => {
    await using world = await MaildirWorld.make();
    const state = await suspended(world);
    await using other = await (await world.open('box', {}, world.newDriver())).openView({ readOnly: false }, signal);
    await other.store([1], { mode: 'add', flags: flags(flagBit.deleted), unchangedSince: undefined }, { silent: true }, signal);
    await other.expunge(undefined, signal);
    await other.store([3], { mode: 'add', flags: flags(flagBit.flagged, ['urgent']), unchangedSince: undefined }, { silent: true }, signal);
    await other.sync({ allowExpunge: true }, signal);
    await world.foreign('box', { 'new/5.a': 'A: b\n\n5' });
    await using view = await resumed(world, state);
    assert.equal(view.count, 4);
    const changes = await view.sync({ allowExpunge: true }, signal);
    assert.deepEqual(
      changes.expunged.map(({ seq }) => seq),
      [1],
    );
    assert.deepEqual(
      changes.flagsChanged.map((seq) => view.uidAt(seq)),
      [3],
    );
    assert.equal(changes.exists, 4);
    assert.equal(changes.newKeywords, true);
  });

  it('sees a flag that a foreign program set by renaming the file', async () => {
    await using world = await MaildirWorld.make();
    const state = await suspended(world);
    const { mailDir } = world.paths('box');
    await rename(join(mailDir, 'cur/2.a:2,'), join(mailDir, 'cur/2.a:2,F'));
    await using view = await resumed(world, state);
    assert.deepEqual((await view.sync({ allowExpunge: true }, signal)).flagsChanged, [2]);
  });

  it('is not suspended while a silent change of its own waits for its sync', async () => {
    await using world = await MaildirWorld.make();
    await world.foreign('box', files);
    await using view = await (await world.open('box')).openView({ readOnly: false }, signal);
    await view.store([1], { mode: 'add', flags: flags(flagBit.flagged), unchangedSince: undefined }, { silent: true }, signal);
    assert.equal(view.suspend(), undefined);
    await view.sync({ allowExpunge: true }, signal);
    assert.ok(view.suspend());
  });

  it('cannot go on when the UIDs have become others', async () => {
    await using world = await MaildirWorld.make();
    const state = await suspended(world);
    await assert.rejects(resumed(world, { ...state, uidValidity: state.uidValidity + 1 }), { code: 'corrupt' });
  });
});
