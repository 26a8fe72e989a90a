// Programs of others that the suite drives. One that is not installed fails the test that needs it, with the name of its package.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { patienceMs } from '../../support/patience.js';

const timeoutMs = 3 * patienceMs;

const packages: Readonly<Record<string, string>> = {
  alpine: 'alpine',
  curl: 'curl',
  dovecot: 'dovecot-imapd dovecot-pop3d dovecot-lmtpd',
  doveadm: 'dovecot-core',
  fetchmail: 'fetchmail',
  getmail: 'getmail6',
  interimap: 'interimap',
  mbsync: 'isync',
  mutt: 'mutt',
  offlineimap: 'offlineimap3',
  openssl: 'openssl',
  perl: 'perl libmail-imapclient-perl libmail-imaptalk-perl',
  postconf: 'postfix',
  postfix: 'postfix',
  postmap: 'postfix',
  python3: 'python3',
  swaks: 'swaks libnet-ssleay-perl',
};

export interface ProgramResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ProgramOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string | Buffer;
  /** Whom to become; needs root. */
  readonly uid?: number;
  readonly gid?: number;
}

/** Servers live where a normal user's PATH does not look. */
export const searchPath = `${process.env['PATH'] ?? ''}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin`;

/** @throws Error naming the Debian packages */
export function requireProgram(name: string): void {
  const found = spawnSync('sh', ['-c', `command -v ${name}`], { env: { PATH: searchPath } });
  if (found.status !== 0) throw new Error(`${name} is not installed: apt-get install ${packages[name] ?? name}`);
}

/** Settings of the machine and of the test run are not meant for what the tests start. */
export function cleanEnvironment(extra: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  return { PATH: searchPath, LANG: 'C.UTF-8', LC_ALL: 'C.UTF-8', HOME: process.env['HOME'] ?? '/', ...extra };
}

/** Runs a program in its own process group to its end; past the time limit the group is killed and the result says so. */
export async function runProgram(name: string, args: readonly string[], options: ProgramOptions = {}): Promise<ProgramResult> {
  if (!name.includes('/')) requireProgram(name);
  const child = spawn(name, args, {
    cwd: options.cwd ?? '/',
    env: cleanEnvironment(options.env),
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
    ...(options.uid === undefined ? {} : { uid: options.uid }),
    ...(options.gid === undefined ? {} : { gid: options.gid }),
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('latin1').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('latin1').on('data', (text: string) => (stderr += text));
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.input ?? '');
  const timer = setTimeout(() => {
    stderr += `\n(killed: no end within ${timeoutMs} ms)`;
    killGroup(child, 'SIGKILL');
  }, timeoutMs);
  try {
    const [code] = (await once(child, 'close')) as [number | null];
    return { code: code ?? -1, stdout, stderr };
  } finally {
    clearTimeout(timer);
  }
}

/** The same; @throws Error with everything it printed unless it ends with 0 */
export async function mustRun(name: string, args: readonly string[], options: ProgramOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await runProgram(name, args, options);
  if (code !== 0) throw new Error(`${name} ${args.join(' ')} ended with ${code}:\n${stdout.slice(-4_000)}\n${stderr.slice(-4_000)}`);
  return stdout;
}

/** Signals everything a detached child has started; a group that is gone is fine. */
export function killGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}
