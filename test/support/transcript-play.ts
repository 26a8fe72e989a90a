// Plays transcript files over every way to keep mail, and against another server.
import { readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { imapSettings } from '#services/imap/settings.js';
import { storages } from './imap-storages.js';
import { createImapWorld } from './imap-world.js';
import { LineClient } from './line-client.js';
import { parseTranscript, type Transcript, TranscriptRun, type TranscriptServer } from './transcript.js';
import { establish, wipe } from './transcript-given.js';

export interface TranscriptFile {
  /** Below the folder. */
  readonly name: string;
  readonly transcript: Transcript;
}

/** @param folder below test/transcripts: compiled tests run from dist-test/, the transcripts stay where they were written */
export function readTranscripts(folder: string): TranscriptFile[] {
  const path = fileURLToPath(new URL(`../../test/transcripts/${folder}/`, import.meta.url));
  return readdirSync(path, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.txt'))
    .sort()
    .map((name) => ({ name, transcript: parseTranscript(readFileSync(join(path, name), 'utf8'), name) }));
}

export const storageKinds = Object.keys(storages);

/** Why a transcript cannot be played over this storage; undefined when it can. */
export function skippedOver(kind: string, { transcript }: TranscriptFile): string | undefined {
  if (kind === 'memory' && transcript.users.size > 0) return 'its accounts share nothing';
  if (kind === 'memory' && storeSettings(transcript, false) !== '') return 'needs settings of the mail store';
  return kind.includes('apart') ? transcript.apart : undefined;
}

/** Settings that the session does not know are those of the store: they go into its configuration. */
function storeSettings(transcript: Transcript, forStore = true): string {
  const plugin = Object.entries(transcript.settings).filter(([key]) => !(key in imapSettings.settings));
  // Memory allows it in any case.
  if (plugin.every(([key]) => key === 'acl_anyone') && !forStore) return '';
  return plugin.length === 0 ? '' : `plugin {\n${plugin.map(([key, value]) => `  ${key} = ${value}\n`).join('')}}\n`;
}

function sessionSettings(transcript: Transcript): Readonly<Record<string, unknown>> {
  const settings: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(transcript.settings)) {
    if (key in imapSettings.settings) settings[key] = key === 'imap_client_workarounds' ? value.split(' ') : typedSetting(value);
  }
  return settings;
}

function typedSetting(text: string): string | number | boolean {
  if (/^\d+$/.test(text)) return Number(text);
  return text === 'yes' ? true : text === 'no' ? false : text;
}

export async function playOver(kind: string, file: TranscriptFile, test: TestContext): Promise<void> {
  const makeOpen = storages[kind];
  if (makeOpen === undefined) throw new Error(`no storage ${kind}`);
  const { users, sharedAcl } = file.transcript;
  const openUser = makeOpen(test, { extra: storeSettings(file.transcript), ...(users.size > 0 ? { sharedAcl } : {}) });
  const world = await createImapWorld({ settings: sessionSettings(file.transcript), openUser });
  await play(file, {
    connect: async (client) => (await world.connect(users.get(client))).client,
    settle: everythingArrives,
    close: async () => world[Symbol.asyncDispose](),
  });
}

/** Long enough for everything in flight inside one process to arrive. */
async function everythingArrives(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
}

export interface Referee {
  readonly host: string;
  readonly port: number;
  /** What follows LOGIN. @param user of a transcript of several users; the usual one without */
  login(file: TranscriptFile, user?: string): string;
  /** Its accounts share mailboxes, and are those of the transcript. */
  readonly hasUsers?: boolean;
  /** Other transcripts have used this account: it is emptied first. */
  readonly isSharedAccount: boolean;
  /** Settings that it runs with, as `key = value`, or as `key` for any value. */
  readonly settings: ReadonlySet<string>;
}

/** Why the referee is not asked; undefined when it is. */
export function skippedByReferee(referee: Referee, { transcript }: TranscriptFile): string | undefined {
  if (transcript.referee !== undefined) return transcript.referee;
  if (transcript.users.size > 0 && referee.hasUsers !== true) return 'its accounts share nothing';
  const missing = Object.entries(transcript.settings)
    .map(([key, value]) => `${key} = ${value}`)
    .filter((text) => !referee.settings.has(text) && !referee.settings.has(text.replace(/ = .*/, '')));
  return missing.length > 0 ? `it does not run with ${missing.join(', ')}` : undefined;
}

export async function playAgainst(referee: Referee, file: TranscriptFile): Promise<void> {
  const open = async (name?: string): Promise<LineClient> => {
    const client = new LineClient(connect({ port: referee.port, host: referee.host, noDelay: true }), 20_000);
    await client.line();
    await client.ok(`LOGIN ${referee.login(file, name === undefined ? undefined : file.transcript.users.get(name))}`);
    return client;
  };
  if (referee.isSharedAccount) {
    const first = await open();
    await wipe(first);
    first.close();
  }
  await play(file, { connect: open, settle: () => sleep(20), close: async () => undefined });
}

async function play({ name, transcript }: TranscriptFile, server: TranscriptServer): Promise<void> {
  const run = new TranscriptRun(server);
  try {
    await establish(run, transcript.given);
    await run.run(transcript, name);
  } finally {
    await run.close();
  }
}
