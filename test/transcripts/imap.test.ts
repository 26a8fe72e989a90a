// Runs test/transcripts/imap/*.txt over the memory storage, over Maildir with all clients in one process, and over Maildir with each client in
// a store of its own, as in different processes; with ROOST_REFEREE=host:port (and ROOST_REFEREE_LOGIN="user password") also
// against another server. A % in the user name becomes a new name for each transcript.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it, type TestContext } from 'node:test';
import {
  playAgainst,
  playOver,
  type Referee,
  readTranscripts,
  skippedByReferee,
  skippedOver,
  storageKinds,
} from '../support/transcript-play.js';

const files = readTranscripts('imap');

describe('IMAP transcripts', { concurrency: 6 }, () => {
  for (const file of files) {
    for (const kind of storageKinds) {
      it(`${file.transcript.title} (${file.name}, ${kind})`, { skip: skippedOver(kind, file) ?? false }, (test) =>
        playOver(kind, file, test as TestContext),
      );
    }
  }

  it('are 300 and more, half of them with several sessions, none told twice', () => {
    const sessions = files.map(({ transcript }) => new Set(transcript.steps.map(({ client }) => client)).size);
    assert.ok(files.length >= 300, `${files.length} transcripts`);
    assert.ok(sessions.filter((count) => count > 1).length * 2 >= files.length, 'half have several sessions');
    const titles = files.map(({ transcript }) => transcript.title);
    assert.deepEqual(
      titles.filter((title, index) => titles.indexOf(title) !== index),
      [],
    );
    assert.deepEqual(
      files.filter(({ transcript }) => transcript.rfc === '').map(({ name }) => name),
      [],
      'each names its standard',
    );
  });
});

const address = process.env['ROOST_REFEREE'] ?? '';
if (address !== '') {
  const [host = '127.0.0.1', port = '143'] = address.split(':');
  const login = process.env['ROOST_REFEREE_LOGIN'] ?? 'demo demo';
  const referee: Referee = {
    host,
    port: Number(port),
    login: () => login.replace('%', randomUUID().slice(0, 8)),
    isSharedAccount: !login.includes('%'),
    settings: new Set(),
  };
  describe(`IMAP transcripts against ${address}`, () => {
    for (const file of files) {
      it(`${file.transcript.title} (${file.name})`, { skip: skippedByReferee(referee, file) ?? false }, () => playAgainst(referee, file));
    }
  });
}
