// Servers to stress: in this process, one over two processes, the real one, and any other by its address.
import { mkdtempSync, rmSync } from 'node:fs';
import { connect as connectSocket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Logger, silentLogger } from '#log/logger.js';
import { createMailStore } from '#storage/mail-store.js';
import { settingsFrom } from '../storage/support/store-world.js';
import { startImapProcess } from '../support/imap-process.js';
import { mailConfig } from '../support/imap-storages.js';
import { createImapWorld } from '../support/imap-world.js';
import { LineClient } from '../support/line-client.js';
import { type ProcessMemory, processMemory, processStates } from '../support/process-states.js';
import { startRoost } from '../support/running-roost.js';

/** Loaded machines answer slowly; a hang is still found. */
const replyTimeoutMs = Number(process.env['ROOST_STRESS_REPLY_MS'] ?? 60_000);

export interface StressTarget extends AsyncDisposable {
  connect(index: number): Promise<LineClient>;
  readonly mailboxes: readonly string[];
  readonly isStrict?: boolean;
  readonly maildirs?: Readonly<Record<string, string>>;
  /** What the server has logged, for the report of a failure. */
  log?(): string;
  /** What its processes are doing now, likewise. */
  states?(): string;
  /** Its processes and the memory they have, in KiB. */
  memory?(): ProcessMemory;
}

const mailboxes = ['INBOX', 'Two'] as const;

function maildirsIn(root: string): Readonly<Record<string, string>> {
  return { INBOX: root, Two: join(root, '.Two') };
}

async function prepare(client: LineClient): Promise<void> {
  await client.run('CREATE Two');
  client.close();
}

/** Warnings and errors as lines, for the report of a failure. */
function collectingLogger(lines: string[]): Logger {
  const note = (event: string, message: string, fields?: Readonly<Record<string, unknown>>): void => {
    const cause = fields?.['error'] instanceof Error ? (fields['error'].stack ?? '') : '';
    lines.push(`${event}: ${message} ${cause}`);
  };
  const logger: Logger = { ...silentLogger, warning: note, error: note, child: () => logger };
  return logger;
}

async function inProcess(kind: 'memory' | 'maildir'): Promise<StressTarget> {
  const folder = mkdtempSync(join(tmpdir(), 'roost-stress-'));
  const settings = settingsFrom(folder, mailConfig);
  const logged: string[] = [];
  const log = collectingLogger(logged);
  const store = createMailStore({ settings, log });
  const openUser = () => store.openUser({ user: 'bob', fields: { home: folder } }, 'imap', new AbortController().signal);
  const world = await createImapWorld(kind === 'memory' ? { log } : { openUser, log });
  await prepare(await greeted((await world.connect()).client));
  return {
    connect: async () => greeted((await world.connect()).client),
    mailboxes,
    log: () => logged.slice(-30).join('\n'),
    ...(kind !== 'memory' && { maildirs: maildirsIn(join(folder, 'Maildir')) }),
    async [Symbol.asyncDispose]() {
      await world[Symbol.asyncDispose]();
      await store.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Servers in this process greet with PREAUTH or not at all. */
async function greeted(client: LineClient): Promise<LineClient> {
  client.maxWaitMs = replyTimeoutMs;
  return client;
}

async function twoProcesses(): Promise<StressTarget> {
  const home = mkdtempSync(join(tmpdir(), 'roost-stress-'));
  const processes = await Promise.all([startImapProcess(home), startImapProcess(home)]);
  const connect = async (index: number): Promise<LineClient> => greeted(await (processes[index % 2] ?? processes[0]).connect());
  await prepare(await connect(0));
  return {
    connect,
    mailboxes,
    maildirs: maildirsIn(join(home, 'Maildir')),
    async [Symbol.asyncDispose]() {
      await Promise.all(processes.map((child) => child.stop()));
      rmSync(home, { recursive: true, force: true });
    },
  };
}

async function login(host: string, port: number, user: string, password: string): Promise<LineClient> {
  const socket = connectSocket(port, host);
  const client = new LineClient(socket);
  client.maxWaitMs = replyTimeoutMs;
  await client.line();
  await client.ok(`LOGIN ${user} ${password}`);
  return client;
}

/** @param processes `one` imap process for all sessions, or one for each (service_count = 1) */
async function realServer(processes: 'one' | 'many'): Promise<StressTarget> {
  const imap = processes === 'one' ? { service_count: 0, client_limit: 1_000, process_limit: 1 } : { service_count: 1, process_limit: 200 };
  const server = await startRoost({
    protocols: ['imap'],
    pools: { imap },
    settings: { mail_max_userip_connections: '0', imap_metadata: 'yes' },
  });
  const connect = (): Promise<LineClient> => login('127.0.0.1', server.ports.imap, 'alice', 'secret');
  await prepare(await connect());
  return {
    connect,
    mailboxes,
    maildirs: maildirsIn(server.maildir('alice')),
    log: () => server.log,
    states: () => processStates(server.pid),
    memory: () => processMemory(server.pid),
    [Symbol.asyncDispose]: async () => void (await server.stop()),
  };
}

/** `host:port`, with ROOST_STRESS_USER and ROOST_STRESS_PASSWORD: a reference server that judges the checker itself. */
async function reference(address: string): Promise<StressTarget> {
  const [host = '', port = ''] = address.split(':');
  const { ROOST_STRESS_USER: user = 'alice', ROOST_STRESS_PASSWORD: password = 'secret' } = process.env;
  const connect = (): Promise<LineClient> => login(host, Number(port), user, password);
  const names = ['StressOne', 'StressTwo'];
  const client = await connect();
  for (const name of names) {
    await client.run(`DELETE ${name}`);
    await client.run(`CREATE ${name}`);
  }
  client.close();
  return { connect, mailboxes: names, isStrict: false, [Symbol.asyncDispose]: async () => undefined };
}

export const targets = {
  memory: () => inProcess('memory'),
  maildir: () => inProcess('maildir'),
  'two-processes': twoProcesses,
  'server-one': () => realServer('one'),
  'server-many': () => realServer('many'),
} as const;

/** @param name a key of `targets`, or host:port */
export function openTarget(name: string): Promise<StressTarget> {
  for (const [key, open] of Object.entries(targets)) if (key === name) return open();
  if (name.includes(':')) return reference(name);
  throw new Error(`unknown target ${name}; one of ${Object.keys(targets).join(', ')} or host:port`);
}
