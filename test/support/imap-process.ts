// One IMAP server process over a Maildir, for tests with several processes on one mailbox. Run by startImapProcess.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createLogger } from '#log/logger.js';
import { ImapConnection } from '#services/imap/connection.js';
import { createMailStore } from '#storage/mail-store.js';
import { settingsFrom } from '../storage/support/store-world.js';
import { mailConfig } from './imap-storages.js';
import { defaultImapSettings } from './imap-world.js';
import { LineClient } from './line-client.js';

export interface ImapProcess {
  connect(): Promise<LineClient>;
  stop(signal?: NodeJS.Signals): Promise<void>;
}

/** @param home folder of the one user */
export async function startImapProcess(home: string): Promise<ImapProcess> {
  const folder = mkdtempSync(join(tmpdir(), 'roost-process-'));
  const socketPath = join(folder, 'imap');
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), home, folder], { stdio: ['ignore', 'pipe', 'inherit'], env: {} });
  await waitForReady(child);
  return {
    connect: () =>
      new Promise((resolve, reject) => {
        const socket = connect(socketPath, () => resolve(new LineClient(socket)));
        socket.once('error', reject);
      }),
    stop: async (signal = 'SIGTERM') => {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      if (child.exitCode === null && child.signalCode === null) {
        child.kill(signal);
        await ended;
      }
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function waitForReady(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.stdout?.once('data', () => resolve());
    child.once('exit', (code) => reject(new Error(`IMAP process ended with ${code}`)));
  });
}

function serve(home: string, folder: string): void {
  const log = createLogger({ prefix: 'imap: ', debug: false });
  const quiet = { ...log, info: () => undefined, error: log.error.bind(log), warning: log.warning.bind(log), isDebug: false };
  const store = createMailStore({ settings: settingsFrom(folder, mailConfig), log });
  createServer({ allowHalfOpen: true }, (stream) => {
    const open = async (): Promise<void> => {
      await using user = await store.openUser({ user: 'bob', fields: { home } }, 'imap', new AbortController().signal);
      await new ImapConnection({
        stream,
        user,
        settings: defaultImapSettings(),
        log: { ...quiet, debug: () => undefined, child: () => log },
      }).run();
    };
    open().catch((error: unknown) => {
      log.error('imap.process', String(error), { error });
      stream.destroy();
    });
  }).listen(join(folder, 'imap'), () => process.stdout.write('ready\n'));
}

const [, script, home, folder] = process.argv;
if (script === fileURLToPath(import.meta.url) && home !== undefined && folder !== undefined) serve(home, folder);
