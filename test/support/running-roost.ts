// A whole server for tests: its own folder and free ports, the bundles of dist/, nothing of the machine's configuration.
//
// Started as root it runs as an installed server does (login and auth as nobody, mail as a user of its own); otherwise everything runs as the
// user who runs the tests. The folder goes with the server; a failed start says what the server said.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { askMaster } from '#ipc/master-client.js';
import { testCertificate } from '../service-kit/test-certificate.js';
import { freePorts } from './free-port.js';
import { patienceMs } from './patience.js';

const checkout = fileURLToPath(new URL('../..', import.meta.url));
/** Owner of the mail when the tests run as root; needs no account. */
export const rootMailUid = 20_001;
export const nobodyUid = 65_534;

export interface RoostOptions {
  /** Passwords by user name; alice and bob with `secret` unless told. Longer entries are whole passwd-file fields after the name: `{PLAIN}x:1000:1000::/home/x::`. */
  readonly users?: Readonly<Record<string, string>>;
  readonly mailLocation?: string;
  /** All four unless told. */
  readonly protocols?: readonly string[];
  /** Settings of services: `{ imap: { process_limit: 1 } }`. */
  readonly pools?: Readonly<Record<string, Readonly<Record<string, string | number>>>>;
  /** Global settings: `{ auth_cache_size: '1M' }`. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Configuration text at the end, for blocks. */
  readonly extra?: string;
  /** As root: the whole server runs as nobody, as one does that a normal user has started. */
  readonly isUnprivileged?: boolean;
  /** Variables of the server's environment. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Open files that each process of the server may have (RLIMIT_NOFILE, soft and hard). */
  readonly openFiles?: number;
  /** Listening sockets that the server is started with, as systemd does (LISTEN_FDS). */
  readonly sockets?: readonly number[];
  /** Where its programs are, if not in dist/. */
  readonly programs?: string | undefined;
  /** Ports to listen on in place of free ones. */
  readonly ports?: Partial<Readonly<Record<PortName, number>>>;
}

export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunningRoost extends AsyncDisposable {
  readonly folder: string;
  readonly configFile: string;
  readonly baseDir: string;
  /** On 127.0.0.1. */
  readonly ports: Readonly<Record<PortName, number>>;
  readonly pid: number;
  /** Everything the server has logged so far. */
  readonly log: string;
  /** Where the mail of a user is, with the default location. */
  maildir(user: string): string;
  /** `roostadm` with this server's configuration. */
  admin(args: readonly string[], input?: string | Buffer): Promise<CommandResult>;
  /** Resolves with the first log line that matches, also an earlier one. */
  logged(pattern: RegExp): Promise<string>;
  /** SIGTERM and the end of the process; idempotent. @returns its exit code */
  stop(): Promise<number>;
}

export const portNames = ['imap', 'imaps', 'pop3', 'pop3s', 'smtp', 'lmtp'] as const;
export type PortName = (typeof portNames)[number];

/** @throws Error with the server's output when it does not come up */
export async function startRoost(options: RoostOptions = {}): Promise<RunningRoost> {
  const folder = mkdtempSync(join(tmpdir(), 'roost-test-'));
  chmodSync(folder, 0o755);
  const ports = { ...freePorts(portNames), ...options.ports };
  const configFile = writeWorld(folder, ports, options);
  const sockets = options.sockets ?? [];
  const program = [process.execPath, join(options.programs ?? join(checkout, 'dist'), 'bin/roost.cjs'), '-F', '-c', configFile];
  // The process must find its own pid in LISTEN_PID, so a shell writes it and becomes the server.
  const limit = options.openFiles === undefined ? '' : `ulimit -n ${options.openFiles} && `;
  const listening = sockets.length === 0 ? '' : `LISTEN_PID=$$ LISTEN_FDS=${sockets.length} `;
  const [command = '', ...args] =
    limit === '' && listening === '' ? program : ['/bin/sh', '-c', `${limit}${listening}exec "$@"`, 'sh', ...program];
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'pipe', ...sockets],
    env: cleanEnvironment(options.environment),
    ...(options.isUnprivileged === true && process.getuid?.() === 0 ? { uid: nobodyUid, gid: nobodyUid } : {}),
  });
  let log = '';
  for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', (text: string) => (log += text));
  const killWithTests = (): void => void child.kill('SIGKILL');
  process.on('exit', killWithTests);
  const ended = once(child, 'close').then(([code, signal]: (number | string | null)[]) => {
    process.off('exit', killWithTests);
    return typeof code === 'number' ? code : 128 + (signal === 'SIGKILL' ? 9 : 15);
  });
  const baseDir = join(folder, 'run');
  let stopping: Promise<number> | undefined;
  const stop = (): Promise<number> => {
    stopping ??= endProcess(child, ended).finally(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }));
    return stopping;
  };
  try {
    await untilReady(baseDir, ended);
  } catch (error) {
    await stop();
    throw new Error(`${error instanceof Error ? error.message : String(error)}; it said:\n${log}`);
  }
  return {
    folder,
    configFile,
    baseDir,
    ports,
    pid: child.pid ?? 0,
    get log() {
      return log;
    },
    maildir: (user) => join(folder, 'mail', user, 'Maildir'),
    admin: (args, input) => runAdmin(['-c', configFile, ...args], input),
    logged: (pattern) => findInLog(() => log, pattern),
    stop,
    [Symbol.asyncDispose]: async () => void (await stop()),
  };
}

/** `roostadm` as its own process. */
export async function runAdmin(
  args: readonly string[],
  input: string | Buffer = '',
  environment: Readonly<Record<string, string>> = {},
): Promise<CommandResult> {
  const child = spawn(process.execPath, [join(checkout, 'dist/bin/roostadm.cjs'), ...args], { env: cleanEnvironment(environment) });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  // A command that refuses its arguments does not read its input.
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  const [code] = await once(child, 'close');
  return { code: typeof code === 'number' ? code : -1, stdout, stderr };
}

function writeWorld(folder: string, ports: RunningRoost['ports'], options: RoostOptions): string {
  const startedByRoot = process.getuid?.() === 0;
  const isRoot = startedByRoot && options.isUnprivileged !== true;
  const uid = isRoot ? rootMailUid : startedByRoot ? nobodyUid : (process.getuid?.() ?? 0);
  const gid = isRoot ? rootMailUid : startedByRoot ? nobodyUid : (process.getgid?.() ?? 0);
  const mail = join(folder, 'mail');
  mkdirSync(mail, { mode: 0o700 });
  if (startedByRoot) chownSync(mail, uid, gid);
  writeFileSync(join(folder, 'users'), userLines(options.users ?? { alice: 'secret', bob: 'secret' }), { mode: 0o644 });
  writeFileSync(join(folder, 'cert.pem'), testCertificate.cert);
  writeFileSync(join(folder, 'key.pem'), testCertificate.key, { mode: 0o600 });
  if (startedByRoot && !isRoot) for (const name of ['', 'key.pem']) chownSync(join(folder, name), uid, gid);
  const configFile = join(folder, 'roost.conf');
  const internal = isRoot ? { default_internal_user: 'nobody', default_internal_group: 'nogroup', default_login_user: 'nobody' } : {};
  const settings = {
    base_dir: join(folder, 'run'),
    listen: '127.0.0.1',
    protocols: (options.protocols ?? ['imap', 'pop3', 'smtp', 'lmtp']).join(' '),
    log_path: '/dev/stderr',
    log_format: 'text',
    ssl_cert: `<${join(folder, 'cert.pem')}`,
    ssl_key: `<${join(folder, 'key.pem')}`,
    mail_location: options.mailLocation ?? 'maildir:~/Maildir',
    // An unprivileged server needs none: all run as whoever has started it.
    ...(options.isUnprivileged === true ? {} : { mail_uid: String(uid), mail_gid: String(gid) }),
    ...(uid < 500 ? { first_valid_uid: '0' } : {}),
    delivery_local_domains: 'localhost',
    // Takes processor time from everything that is tested.
    process_practice: 'no',
    // What else the machine does must turn nobody away.
    busy_max_lag: '0',
    busy_max_memory: '100',
    ...internal,
    ...options.settings,
  };
  const lines = Object.entries(settings).map(([key, value]) => `${key} = ${value}`);
  writeFileSync(configFile, [...lines, blocks(folder, ports, options.pools ?? {}), options.extra ?? '', ''].join('\n'));
  return configFile;
}

function userLines(users: Readonly<Record<string, string>>): string {
  return Object.entries(users)
    .map(([name, entry]) => (entry.includes(':') ? `${name}:${entry}\n` : `${name}:{PLAIN}${entry}::::::\n`))
    .join('');
}

function blocks(folder: string, ports: RunningRoost['ports'], pools: NonNullable<RoostOptions['pools']>): string {
  const listener = (name: PortName): string => {
    const tls = name === 'imaps' || name === 'pop3s' ? '\n    ssl = yes' : '';
    return `  inet_listener ${name} {\n    port = ${ports[name]}${tls}\n  }\n`;
  };
  const listeners: Readonly<Record<string, readonly PortName[]>> = {
    'imap-login': ['imap', 'imaps'],
    'pop3-login': ['pop3', 'pop3s'],
    smtp: ['smtp'],
    lmtp: ['lmtp'],
  };
  const services = [...new Set([...Object.keys(listeners), ...Object.keys(pools)])].map((name) => {
    const limits = Object.entries(pools[name] ?? {}).map(([key, value]) => `  ${key} = ${value}\n`);
    return `service ${name} {\n${limits.join('')}${(listeners[name] ?? []).map(listener).join('')}}\n`;
  });
  return `passdb {
  driver = passwd-file
  args = scheme=PLAIN ${join(folder, 'users')}
}
userdb {
  driver = passwd-file
  args = ${join(folder, 'users')}
  default_fields = home=${join(folder, 'mail')}/%u
}
namespace inbox {
  inbox = yes
}
${services.join('')}`;
}

async function untilReady(baseDir: string, ended: Promise<number>): Promise<void> {
  let exitCode: number | undefined;
  void ended.then((code) => {
    exitCode = code;
  });
  const untilMs = Date.now() + patienceMs;
  while (Date.now() < untilMs) {
    if (exitCode !== undefined) throw new Error(`the server ended with exit code ${exitCode}`);
    try {
      // It listens before it answers this; who connects earlier than a process is up waits for it.
      const reply = await askMaster(baseDir, { command: 'service-status' }, { timeoutMs: patienceMs });
      if (reply.ok) return;
    } catch {
      await sleep(20);
    }
  }
  throw new Error(`the server did not answer within ${patienceMs} ms`);
}

async function endProcess(child: ReturnType<typeof spawn>, ended: Promise<number>): Promise<number> {
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), patienceMs);
  try {
    return await ended;
  } finally {
    clearTimeout(timer);
  }
}

async function findInLog(read: () => string, pattern: RegExp): Promise<string> {
  const untilMs = Date.now() + patienceMs;
  for (;;) {
    const line = read()
      .split('\n')
      .find((text) => pattern.test(text));
    if (line !== undefined) return line;
    if (Date.now() > untilMs) throw new Error(`nothing like ${pattern} in the log:\n${read()}`);
    await sleep(10);
  }
}

/** Certificates of the environment cost each process 100 ms, and NODE_OPTIONS of a test run are not meant for the server. */
function cleanEnvironment(extra: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const { NODE_EXTRA_CA_CERTS: _certificates, NODE_OPTIONS: _options, NODE_TEST_CONTEXT: _test, ...environment } = process.env;
  return { ...environment, ...extra };
}
