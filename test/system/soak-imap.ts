// IMAP clients of the soak.
import type { LineClient } from '../support/line-client.js';
import { Broken, goodbye, Refused } from './soak-attempt.js';
import type { SoakConnection } from './soak-connection.js';
import { messageText, type SoakMailbox } from './soak-mail.js';

/** Runs an IMAP command. @throws Refused, Broken */
export async function imapCommand(client: LineClient, text: string): Promise<string[]> {
  const tag = client.send(text);
  const lines: string[] = [];
  for (;;) {
    const line = await client.line();
    if (line === undefined) {
      // The goodbye of the server came in place of the one to LOGOUT.
      const last = lines.findLast((earlier) => goodbye.test(earlier));
      throw last === undefined ? new Broken(`closed in ${text.slice(0, 20)}`) : new Refused(last);
    }
    if (line.startsWith('* BYE') && !text.startsWith('LOGOUT')) throw new Refused(line);
    lines.push(line);
    if (!line.startsWith(`${tag} `)) continue;
    if (!line.startsWith(`${tag} OK`)) throw new Refused(line);
    return lines;
  }
}

/** @throws Refused, Broken */
export async function imapLogin(connection: SoakConnection, user: string, password: string, withStartTls: boolean): Promise<void> {
  const greeting = await connection.client.line();
  if (greeting === undefined) throw new Broken('closed before the greeting');
  if (!greeting.startsWith('* OK')) throw new Refused(greeting);
  if (withStartTls) {
    await imapCommand(connection.client, 'STARTTLS');
    await connection.startTls();
  }
  await imapCommand(connection.client, `LOGIN ${user} ${password}`);
}

/** A session after login, up to LOGOUT. */
export class ImapWork {
  readonly #client: LineClient;
  readonly #mailbox: SoakMailbox;
  readonly #random: (below: number) => number;
  readonly #own: { readonly uid: number; readonly token: string }[] = [];
  /** Changes of flags that were acknowledged. */
  stored = 0;

  constructor(client: LineClient, mailbox: SoakMailbox, random: (below: number) => number) {
    this.#client = client;
    this.#mailbox = mailbox;
    this.#random = random;
  }

  /** @throws Refused, Broken */
  async run(isOver: () => boolean): Promise<void> {
    await imapCommand(this.#client, 'SELECT INBOX');
    for (let step = 1 + this.#random(8); step > 0 && !isOver(); step--) {
      const choice = this.#random(12);
      if (choice < 4) await this.#append();
      else if (choice < 7) await this.#store();
      else if (choice < 8) await imapCommand(this.#client, 'UID FETCH 1:* FLAGS');
      else if (choice < 9) await imapCommand(this.#client, 'NOOP');
      else if (choice < 11) await this.#fetch();
      else await this.#idle();
    }
    await imapCommand(this.#client, 'LOGOUT');
  }

  async #append(): Promise<void> {
    const token = this.#mailbox.newToken();
    const text = messageText(token, this.#random);
    const command = `APPEND INBOX (\\Draft) {${text.length}+}\r\n${text}`;
    const lines = await this.#mailbox.telling([token], 'APPEND', () => imapCommand(this.#client, command));
    const code = /APPENDUID (\d+) (\d+)/.exec(lines.at(-1) ?? '');
    const uid = Number(code?.[2]);
    this.#mailbox.promise(token, { uid, uidValidity: Number(code?.[1]), text, flags: '\\Draft', fate: 'kept' });
    this.#own.push({ uid, token });
  }

  async #store(): Promise<void> {
    const own = this.#own[this.#random(Math.max(1, this.#own.length))];
    const message = this.#mailbox.get(own?.token ?? '');
    if (own === undefined || message === undefined) return;
    const flags = ['\\Answered', '\\Flagged', '\\Seen', 'kw1'].filter(() => this.#random(2) === 0).join(' ');
    message.flags = undefined;
    try {
      const command = `UID STORE ${own.uid} FLAGS (${flags})`;
      await this.#mailbox.telling([own.token], command, () => imapCommand(this.#client, command));
    } catch (error) {
      // A POP3 client has deleted it meanwhile.
      if (message.fate !== 'kept' && error instanceof Refused && error.message.includes('[EXPUNGEISSUED]')) return;
      throw error;
    }
    message.flags = flags;
    this.stored += 1;
  }

  /** A message is read as it was sent, not a part of somebody else's. */
  async #fetch(): Promise<void> {
    const own = this.#own[this.#random(Math.max(1, this.#own.length))];
    const message = this.#mailbox.get(own?.token ?? '');
    if (own === undefined || message === undefined) return;
    const lines = await imapCommand(this.#client, `UID FETCH ${own.uid} BODY.PEEK[]`);
    const line = lines.find((text) => text.includes(' FETCH ') && text.includes('BODY[]'));
    if (line === undefined && message.fate !== 'kept') return;
    if (line?.includes(`{${message.text.length}}\r\n${message.text}`) !== true)
      throw new Error(`${own.token} of ${this.#mailbox.user} was read as ${JSON.stringify((line ?? lines.at(-1) ?? '').slice(0, 200))}`);
  }

  async #idle(): Promise<void> {
    const tag = this.#client.send('IDLE');
    for (;;) {
      const line = await this.#client.line();
      if (line === undefined) throw new Broken('closed in IDLE');
      if (line.startsWith('* BYE')) throw new Refused(line);
      // Some last until the session has moved to imap-hibernate and longer.
      if (line.startsWith('+')) setTimeout(() => this.#client.raw('DONE\r\n'), this.#random(this.#random(3) === 0 ? 4_000 : 300));
      if (line.startsWith(`${tag} `)) return;
    }
  }
}
