// An IMAP connection that needs to know nothing about the server, and what a whole account looks like through it.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { LineClient } from '../../support/line-client.js';
import { patienceMs } from '../../support/patience.js';
import { password } from './world.js';

export interface MessageState {
  readonly uid: number;
  /** Sorted; without \Recent, which belongs to a session. */
  readonly flags: readonly string[];
  readonly size: number;
  readonly date: string;
  /** SHA-1 of BODY[]. */
  readonly body: string;
}

export interface MailboxState {
  readonly uidValidity: number;
  readonly uidNext: number;
  readonly messages: readonly MessageState[];
}

export interface AccountState {
  /** By name as on the wire, without quotes. */
  readonly mailboxes: Readonly<Record<string, MailboxState>>;
  readonly subscribed: readonly string[];
}

export class ImapClient extends LineClient {
  static async connect(port: number): Promise<ImapClient> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    const client = new ImapClient(socket, patienceMs);
    const greeting = await client.line();
    if (greeting?.startsWith('* OK') !== true) throw new Error(`no greeting but ${greeting}`);
    return client;
  }

  static async login(port: number, user: string): Promise<ImapClient> {
    const client = await ImapClient.connect(port);
    await client.ok(`LOGIN ${user} ${password}`);
    return client;
  }

  async logout(): Promise<void> {
    await this.run('LOGOUT');
    this.close();
  }

  /** @returns the UID given to it */
  async append(mailbox: string, flags: string, message: string | Buffer, date?: string): Promise<number> {
    const text = typeof message === 'string' ? message : message.toString('latin1');
    const when = date === undefined ? '' : ` "${date}"`;
    const lines = await this.run(`APPEND ${quote(mailbox)} (${flags})${when} {${text.length}+}\r\n${text}`);
    const uid = /^OK \[APPENDUID \d+ (\d+)\]/.exec(lines.at(-1) ?? '')?.[1];
    if (uid === undefined) throw new Error(`APPEND ${mailbox}: ${lines.at(-1)}`);
    return Number(uid);
  }

  async mailboxNames(command = 'LIST "" "*"'): Promise<string[]> {
    const names: string[] = [];
    for (const line of await this.ok(command)) {
      const match = /^\* (?:LIST|LSUB) \(([^)]*)\) (?:NIL|"[^"]*"|\S+) (.*)$/s.exec(line);
      if (match === null || /\\Noselect|\\NonExistent/i.test(match[1] ?? '')) continue;
      names.push(unquote(match[2] ?? ''));
    }
    return names.sort();
  }

  /** Opens it read-only and leaves it open. */
  async mailboxState(name: string): Promise<MailboxState> {
    const lines = await this.ok(`EXAMINE ${quote(name)}`);
    const number = (pattern: RegExp): number =>
      Number(lines.map((line) => pattern.exec(line)?.[1]).find((found) => found !== undefined) ?? Number.NaN);
    const messages: MessageState[] = [];
    if (number(/^\* (\d+) EXISTS/) > 0) {
      for (const line of await this.ok('UID FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])')) {
        const message = readMessage(line);
        if (message !== undefined) messages.push(message);
      }
    }
    return { uidValidity: number(/^\* OK \[UIDVALIDITY (\d+)\]/), uidNext: number(/^\* OK \[UIDNEXT (\d+)\]/), messages };
  }

  async accountState(): Promise<AccountState> {
    const mailboxes: Record<string, MailboxState> = {};
    for (const name of await this.mailboxNames()) mailboxes[name] = await this.mailboxState(name);
    return { mailboxes, subscribed: await this.mailboxNames('LSUB "" "*"') };
  }
}

/** What the account looks like through the server on this port. */
export async function accountState(port: number, user: string): Promise<AccountState> {
  const client = await ImapClient.login(port, user);
  try {
    return await client.accountState();
  } finally {
    await client.logout();
  }
}

/** One line for each mailbox and message, so that a difference can be read. */
export function stateLines({ mailboxes, subscribed }: AccountState): string[] {
  const lines = Object.entries(mailboxes).flatMap(([name, { uidValidity, uidNext, messages }]) => [
    `${name}: validity ${uidValidity}, next ${uidNext}, ${messages.length} messages`,
    ...messages.map(({ uid, flags, size, date, body }) => `${name}: ${uid} (${flags.join(' ')}) ${size} ${date} ${body}`),
  ]);
  return [...lines, `subscribed: ${subscribed.join(', ')}`];
}

/**
 * Asks both ports until they show the same: a file that comes within the clock tick in which its folder was read is seen when
 * the folder is read again, a second later.
 */
export async function agreedState(ports: readonly [number, number], user: string): Promise<AccountState> {
  const deadline = Date.now() + patienceMs;
  for (;;) {
    const [first, second] = [await accountState(ports[0], user), await accountState(ports[1], user)];
    const lines = [stateLines(first), stateLines(second)] as const;
    if (lines[0].join('\n') === lines[1].join('\n')) return first;
    if (Date.now() > deadline) assert.deepEqual(lines[0], lines[1]);
    await sleep(100);
  }
}

export function quote(name: string): string {
  return `"${name.replace(/[\\"]/g, '\\$&')}"`;
}

function unquote(name: string): string {
  const literal = /^\{\d+\}\r\n(.*)$/s.exec(name);
  if (literal !== null) return literal[1] ?? '';
  return name.startsWith('"') ? name.slice(1, -1).replace(/\\(.)/g, '$1') : name;
}

function readMessage(line: string): MessageState | undefined {
  if (!/^\* \d+ FETCH /.test(line)) return undefined;
  const literal = /BODY\[\] \{(\d+)\}\r\n/.exec(line);
  const start = literal === null ? 0 : literal.index + literal[0].length;
  const body = literal === null ? (/BODY\[\] "([^"]*)"/.exec(line)?.[1] ?? '') : line.slice(start, start + Number(literal[1]));
  const outside = literal === null ? line : line.slice(0, literal.index) + line.slice(start + Number(literal[1]));
  const uid = /\bUID (\d+)/.exec(outside)?.[1];
  if (uid === undefined) return undefined;
  const flags = (/FLAGS \(([^)]*)\)/.exec(outside)?.[1] ?? '')
    .split(' ')
    .filter((flag) => flag !== '' && flag.toLowerCase() !== '\\recent');
  return {
    uid: Number(uid),
    flags: flags.sort(),
    size: Number(/RFC822\.SIZE (\d+)/.exec(outside)?.[1] ?? -1),
    date: /INTERNALDATE "([^"]*)"/.exec(outside)?.[1] ?? '',
    body: `${body.length}:${createHash('sha1').update(Buffer.from(body, 'latin1')).digest('hex')}`,
  };
}
