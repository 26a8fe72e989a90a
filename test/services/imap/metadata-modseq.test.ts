import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { storages } from '../../support/imap-storages.js';
import { createImapWorld } from '../../support/imap-world.js';

describe('SETMETADATA of a mailbox (RFC 7162 3.2)', () => {
  for (const [kind, makeOpen] of Object.entries(storages)) {
    it(`raises its HIGHESTMODSEQ, and that of the server does not (${kind})`, async (test) => {
      await using world = await createImapWorld({ settings: { imap_metadata: true }, openUser: makeOpen(test as never) });
      const { client } = await world.connect();
      const highest = async (): Promise<number> => {
        const lines = await client.ok('STATUS Work (HIGHESTMODSEQ)');
        return Number(/HIGHESTMODSEQ (\d+)/.exec(lines.join('\n'))?.[1]);
      };
      await client.ok('CREATE Work');
      const before = await highest();
      await client.ok('SETMETADATA Work (/private/comment "x")');
      const after = await highest();
      assert.ok(after > before, `${after} after ${before}`);
      await client.ok('SETMETADATA "" (/private/comment "x")');
      assert.equal(await highest(), after);
    });
  }
});
