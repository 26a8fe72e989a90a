// Asking anvil on behalf of an administrator: who is connected, and ending sessions (docs/ipc.md, "anvil").
import { connect } from 'node:net';
import { join } from 'node:path';
import { CodedError } from '#util/coded-error.js';
import { encodeTabLine, parseTabLine } from './tab-escape.js';

const timeoutMs = 10_000;
/** Some 100,000 sessions. */
const maxAnswerOctets = 32 * 1024 * 1024;

/** `unreachable`: no server runs, or not with the rights to ask it. */
export class AnvilError extends CodedError<'unreachable' | 'no-answer'> {
  override readonly name = 'AnvilError';
}

export interface ConnectedSession {
  readonly user: string;
  /** `imap`, `pop3`. */
  readonly service: string;
  readonly remoteIp: string;
  readonly pid: number;
  readonly sessionId: string;
  /** When the session was announced, UNIX time in seconds. */
  readonly sinceSeconds: number;
}

/**
 * All sessions, ordered by service, address and user.
 * @throws AnvilError
 */
export async function listSessions(baseDir: string): Promise<ConnectedSession[]> {
  const text = await ask(baseDir, ['SESSION-DUMP'], (answer) => answer === '\n' || answer.endsWith('\n\n'));
  const lines = text.split('\n').filter((line) => line !== '');
  return lines.map((line) => {
    const [user = '', service = '', remoteIp = '', pid = '', sessionId = '', sinceSeconds = ''] = parseTabLine(line);
    return { user, service, remoteIp, pid: Number(pid), sessionId, sinceSeconds: Number(sinceSeconds) };
  });
}

/**
 * Ends the sessions of the users that match.
 * @param userMask `*` and `?` as in file names
 * @param network an address or a network, `192.0.2.0/24`; undefined for all
 * @returns how many are being ended
 * @throws AnvilError
 */
export function kickUsers(baseDir: string, userMask: string, network: string | undefined): Promise<number> {
  return askCount(baseDir, network === undefined ? ['KICK-USER', userMask] : ['KICK-USER', userMask, network]);
}

/** The same for sessions by id; unknown ones count for nothing. */
export function kickSessions(baseDir: string, sessionIds: readonly string[]): Promise<number> {
  return sessionIds.length === 0 ? Promise.resolve(0) : askCount(baseDir, ['KICK-SESSION', ...sessionIds]);
}

/** Client addresses whose logins are slowed down. `value` is 1 to 4. @throws AnvilError */
export async function listPenalties(
  baseDir: string,
): Promise<{ readonly address: string; readonly value: number; readonly lastSeconds: number }[]> {
  const text = await ask(baseDir, ['PENALTY-DUMP'], (answer) => answer === '\n' || answer.endsWith('\n\n'));
  const lines = text.split('\n').filter((line) => line !== '');
  return lines.map((line) => {
    const [address = '', value = '', lastSeconds = ''] = parseTabLine(line);
    return { address, value: Number(value), lastSeconds: Number(lastSeconds) };
  });
}

async function askCount(baseDir: string, fields: readonly string[]): Promise<number> {
  return Number(await ask(baseDir, fields, (answer) => answer.endsWith('\n')));
}

function ask(baseDir: string, fields: readonly string[], isWhole: (answer: string) => boolean): Promise<string> {
  const path = join(baseDir, 'anvil');
  const socket = connect({ path });
  socket.setEncoding('utf8');
  return new Promise((resolve, reject) => {
    let answer = '';
    let problem: AnvilError | undefined;
    const timer = setTimeout(() => {
      problem = new AnvilError('no-answer', `anvil(${path}) did not answer in ${timeoutMs / 1000} s`);
      socket.destroy();
    }, timeoutMs);
    socket.on('data', (text: string) => {
      answer += text;
      if (isWhole(answer)) resolve(answer);
      if (isWhole(answer) || answer.length > maxAnswerOctets) socket.destroy();
    });
    socket.on('error', (cause) => {
      problem ??= new AnvilError('unreachable', `anvil(${path}): ${cause.message}`, { cause });
    });
    socket.on('close', () => {
      clearTimeout(timer);
      reject(problem ?? new AnvilError('no-answer', `anvil(${path}) closed the connection`));
    });
    socket.write(`VERSION\tanvil\t1\t0\n${encodeTabLine(fields)}`);
  });
}
