// Servers to stress: in this process, one over two processes, the real one, and any other by its address.
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
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
import { quotaPlay } from './quota-play.js';
import { rightsPlay } from './rights-play.js';
import type { SidePlay } from './side-play.js';

/** Loaded machines answer slowly; a hang is still found. */
const replyTimeoutMs = Number(process.env['ROOST_STRESS_REPLY_MS'] ?? 60_000);

export interface StressTarget extends AsyncDisposable {
  connect(index: number): Promise<LineClient>;
  readonly mailboxes: readonly string[];
  readonly isStrict?: boolean;
  readonly maildirs?: Readonly<Record<string, string>>;
  /** As in the options of a run. */
  readonly who?: (index: number) => { readonly user: string; readonly sharedAs?: string };
  readonly urlHost?: string;
  readonly sidePlays?: Readonly<Record<string, SidePlay>>;
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

interface Login {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  /** Where the client is, as the server sees it. */
  readonly localAddress?: string;
}

async function login({ host, port, user, password, localAddress }: Login): Promise<LineClient> {
  const socket = connectSocket({ port, host, ...(localAddress !== undefined && { localAddress }) });
  const client = new LineClient(socket);
  client.maxWaitMs = replyTimeoutMs;
  await client.line();
  await client.ok(`LOGIN ${user} ${password}`);
  return client;
}

/** Clients from here may have that many messages in one command (RFC 9738): more than the sessions name one by one. */
const limitedAddress = '127.0.0.3';
const messageLimit = 70;
const urlHost = 'imap.stress.test';
const quota = { maxBytes: 61_440, maxMessages: 14 } as const;
const quotaFields = `userdb_quota_rule=*:bytes=${quota.maxBytes}:messages=${quota.maxMessages}`;
/** Every tenth session is of another user, with whom alice shares her mailboxes; every tenth from a limited address. */
const guestRest = 5;
const limitedRest = 6;

function realServerText(folder: string): string {
  return `namespace shared {
  type = shared
  prefix = shared/%%u/
  separator = /
  location = maildir:%%h/Maildir
  subscriptions = no
  list = children
}
namespace inbox {
  separator = /
}
plugin {
  acl_shared_dict = file:${folder}/shared-mailboxes
  quota = count:User quota
  quota_rule = *:storage=10G:messages=1000000
}
remote ${limitedAddress} {
  imap_message_limit = ${messageLimit}
}
`;
}

/** @param processes `one` imap process for all sessions, or one for each (service_count = 1) */
async function realServer(processes: 'one' | 'many'): Promise<StressTarget> {
  const imap = processes === 'one' ? { service_count: 0, client_limit: 1_000, process_limit: 1 } : { service_count: 1, process_limit: 200 };
  const shared = mkdtempSync(join(tmpdir(), 'roost-stress-shared-'));
  chmodSync(shared, 0o777);
  const server = await startRoost({
    protocols: ['imap'],
    pools: { imap },
    users: {
      alice: 'secret',
      bob: 'secret',
      carol: `{PLAIN}secret::::::${quotaFields}`,
      dave: `{PLAIN}secret::::::${quotaFields}`,
      erik: 'secret',
      frida: 'secret',
    },
    settings: {
      mail_max_userip_connections: '0',
      imap_metadata: 'yes',
      mail_plugins: 'acl imap_acl quota imap_quota',
      // Other addresses of this machine are strangers.
      disable_plaintext_auth: 'no',
      imap_urlauth_host: urlHost,
    },
    extra: realServerText(shared),
  });
  const from = (user: string, localAddress?: string): Promise<LineClient> =>
    login({ host: '127.0.0.1', port: server.ports.imap, user, password: 'secret', ...(localAddress !== undefined && { localAddress }) });
  const isGuest = (index: number): boolean => index % 10 === guestRest;
  const owner = await from('alice');
  await owner.run('CREATE Two');
  for (const name of mailboxes) await owner.ok(`SETACL ${name} bob lrswitep`);
  owner.close();
  return {
    connect: (index) => (isGuest(index) ? from('bob') : from('alice', index % 10 === limitedRest ? limitedAddress : undefined)),
    who: (index) => (isGuest(index) ? { user: 'bob', sharedAs: 'shared/alice' } : { user: 'alice' }),
    urlHost,
    sidePlays: {
      quota: quotaPlay({ name: 'carol', clients: 1, connect: () => from('carol'), ...quota }),
      'shared quota': quotaPlay({ name: 'dave', clients: 3, connect: () => from('dave'), ...quota }),
      rights: rightsPlay({
        box: 'Common',
        sharedBox: 'shared/erik/Common',
        guest: 'frida',
        connect: (who) => from(who === 'owner' ? 'erik' : 'frida'),
      }),
    },
    mailboxes,
    maildirs: maildirsIn(server.maildir('alice')),
    log: () => server.log,
    states: () => processStates(server.pid),
    memory: () => processMemory(server.pid),
    async [Symbol.asyncDispose]() {
      await server.stop();
      rmSync(shared, { recursive: true, force: true });
    },
  };
}

/** `host:port`, with ROOST_STRESS_USER and ROOST_STRESS_PASSWORD: a reference server that judges the checker itself. */
async function reference(address: string): Promise<StressTarget> {
  const [host = '', port = ''] = address.split(':');
  const { ROOST_STRESS_USER: user = 'alice', ROOST_STRESS_PASSWORD: password = 'secret' } = process.env;
  const connect = (): Promise<LineClient> => login({ host, port: Number(port), user, password });
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
