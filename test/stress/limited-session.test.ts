import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createImapWorld } from '../support/imap-world.js';
import { runStress } from './run.js';

/** More than the checker names in one command. */
const limit = 61;
/** More than a session asks for before it goes on with what it knows. */
const messages = 55 * limit;

describe('A session whose commands may be about few messages (RFC 9738)', () => {
  it('copies, moves and marks only what it knows of a large mailbox', { timeout: 120_000 }, async () => {
    await using world = await createImapWorld({ settings: { imap_message_limit: limit } });
    const { client: owner } = await world.connect();
    const some = ' {14+}\r\nSubject: x\r\n\r\n'.repeat(limit);
    for (let count = 0; count < messages; count += limit) await owner.ok(`APPEND INBOX${some}`);
    const played = runStress({
      seed: 3,
      sessions: 1,
      steps: 20,
      mailboxes: ['INBOX'],
      only: new Set(['COPY', 'MOVE', 'STORE']),
      connect: async () => (await world.connect()).client,
    });
    // What no session has saved, the checker does not know in the end; until then nothing was wrong.
    await assert.rejects(played, /nobody saved UID \d+ of INBOX/);
  });
});
