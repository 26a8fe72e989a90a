import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { MailboxView } from '#storage/mailbox.js';
import { flagBit } from '#storage/types.js';
import { append, never, openView } from '../../contract/world.js';
import { MaildirWorld } from './world.js';

/** What the columns say must be what the accessors say. */
function check(view: MailboxView, first: number, last: number): void {
  const columns = view.flagColumns?.(first, last);
  assert.ok(columns !== undefined);
  for (let seq = first; seq <= last; seq += 1) {
    assert.equal(columns.uid[seq - 1], view.uidAt(seq));
    assert.equal(columns.flags[seq - 1], view.systemFlagsAt(seq));
    assert.equal(columns.keywordsOf(columns.keywordSet[seq - 1] as number), view.keywordsAt(seq));
  }
}

describe('the columns of UIDs and flags of a view', () => {
  it('agree with the messages one by one, and are not given where messages lie otherwise', async () => {
    await using world = await MaildirWorld.make();
    const mailbox = await world.create('A');
    for (let index = 0; index < 6; index += 1) await append(mailbox, `Subject: ${index}\r\n\r\n`);
    {
      await using first = await openView(mailbox);
      assert.equal(first.flagColumns?.(1, 6), undefined, 'all are recent');
    }
    await using view = await openView(mailbox);
    await using other = await openView(mailbox);
    const flags = { system: flagBit.seen | flagBit.deleted, keywords: ['work'] };
    await view.store([2, 5], { mode: 'add', flags, unchangedSince: undefined }, { silent: true }, never);
    check(view, 1, 6);
    check(view, 4, 5);
    assert.equal(view.flagColumns?.(0, 6), undefined);
    assert.equal(view.flagColumns?.(1, 7), undefined);
    await append(mailbox, 'Subject: new\r\n\r\n');
    await view.sync({ allowExpunge: true }, never);
    assert.equal(view.flagColumns?.(1, 7), undefined, 'one is recent');
    check(view, 1, 6);
    await view.expunge(undefined, never);
    check(other, 1, 6);
    await view.sync({ allowExpunge: true }, never);
    assert.equal(view.flagColumns?.(1, 4), undefined, 'rows have gaps while another view counts what is gone');
    await other.sync({ allowExpunge: true }, never);
    await view.sync({ allowExpunge: true }, never);
    check(view, 1, 4);
  });
});
