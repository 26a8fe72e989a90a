// Session shapes of mail clients (test/transcripts/clients/*.txt, a folder for each), as they are documented or were seen on the wire: what a
// client sends, and the replies that it depends on.
import { describe, it, type TestContext } from 'node:test';
import { playOver, readTranscripts, skippedOver, storageKinds } from '../support/transcript-play.js';

describe('sessions of mail clients', { concurrency: 6 }, () => {
  for (const file of readTranscripts('clients')) {
    for (const kind of storageKinds) {
      it(`${file.transcript.title} (${file.name}, ${kind})`, { skip: skippedOver(kind, file) ?? false }, (test) =>
        playOver(kind, file, test as TestContext),
      );
    }
  }
});
