// Runs test/transcripts/imap/*.txt over the memory storage, over Maildir with all clients in one process, and over Maildir with each client in
// a store of its own, as in different processes; with ROOST_REFEREE=host:port (and ROOST_REFEREE_LOGIN="user password") also
// against another server. A % in the user name becomes a new name for each transcript.
import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type OpenUser, storages } from '../support/imap-storages.js';
import { createImapWorld } from '../support/imap-world.js';
import { LineClient } from '../support/line-client.js';
import { parseTranscript, type Transcript, TranscriptRun, type TranscriptServer } from '../support/transcript.js';
import { establish, wipe } from '../support/transcript-given.js';

// Compiled tests run from dist-test/, the transcripts stay where they were written.
const folder = fileURLToPath(new URL('../../test/transcripts/imap/', import.meta.url));

async function ownServer(transcript: Transcript, openUser: OpenUser): Promise<TranscriptServer> {
  const settings: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(transcript.settings)) {
    settings[key] = key === 'imap_client_workarounds' ? value.split(' ') : typedSetting(value);
  }
  const world = await createImapWorld({ settings, openUser });
  return {
    connect: async () => (await world.connect()).client,
    close: async () => world[Symbol.asyncDispose](),
  };
}

function typedSetting(text: string): string | number | boolean {
  if (/^\d+$/.test(text)) return Number(text);
  return text === 'yes' ? true : text === 'no' ? false : text;
}

async function refereeServer(address: string): Promise<TranscriptServer> {
  const [host = '127.0.0.1', port = '143'] = address.split(':');
  const template = process.env['ROOST_REFEREE_LOGIN'] ?? 'demo demo';
  const login = template.replace('%', randomUUID().slice(0, 8));
  const open = async (): Promise<LineClient> => {
    const client = new LineClient(connect(Number(port), host));
    await client.line();
    await client.ok(`LOGIN ${login}`);
    return client;
  };
  if (login === template) {
    const first = await open();
    await wipe(first);
    first.close();
  }
  return { connect: open, close: async () => undefined };
}

async function play(transcript: Transcript, path: string, server: TranscriptServer): Promise<void> {
  const run = new TranscriptRun(server);
  try {
    await establish(run, transcript.given);
    await run.run(transcript, path);
  } finally {
    await run.close();
  }
}

const referee = process.env['ROOST_REFEREE'];
const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.txt'))
  .sort();

describe('IMAP transcripts', () => {
  for (const name of files) {
    const transcript = parseTranscript(readFileSync(join(folder, name), 'utf8'), name);
    for (const [kind, makeOpen] of Object.entries(storages)) {
      const skip = kind.includes('apart') && transcript.apart !== undefined ? transcript.apart : false;
      it(`${transcript.title} (${name}, ${kind})`, { skip }, async (test) =>
        play(transcript, name, await ownServer(transcript, makeOpen(test as TestContext))),
      );
    }
    if (referee !== undefined && referee !== '') {
      const skip = transcript.referee ?? (Object.keys(transcript.settings).length > 0 ? 'needs settings' : false);
      it(`${transcript.title} (${name}, ${referee})`, { skip }, async () => play(transcript, name, await refereeServer(referee)));
    }
  }
});
