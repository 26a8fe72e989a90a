// POP3 clients of the soak: they read what is there and delete some of it, which holds from the answer to QUIT on and not before.
import type { LineClient } from '../support/line-client.js';
import { Broken, Refused } from './soak-attempt.js';
import type { SoakConnection } from './soak-connection.js';
import { type Promised, type SoakMailbox, tokenIn } from './soak-mail.js';

/** @throws Refused, Broken */
export async function pop3Login(connection: SoakConnection, user: string, password: string, withStls: boolean): Promise<void> {
  await reply(connection.client, 'the greeting');
  if (withStls) {
    await say(connection.client, 'STLS');
    await connection.startTls();
  }
  await say(connection.client, `USER ${user}`);
  await say(connection.client, `PASS ${password}`);
}

/** A session after login, up to QUIT. @throws Refused, Broken */
export async function pop3Work(client: LineClient, mailbox: SoakMailbox, random: (below: number) => number): Promise<void> {
  const count = Number(/^\+OK (\d+)/.exec(await say(client, 'STAT'))?.[1]);
  const deleted = new Map<string, Promised>();
  for (let step = random(5); step > 0 && count > 0; step--) {
    const number = 1 + random(count);
    const token = await retrieve(client, mailbox, number);
    const promised = mailbox.get(token ?? '');
    if (token === undefined || promised === undefined || deleted.has(token) || random(2) === 0) continue;
    await mailbox.telling([token], `DELE ${number}`, () => say(client, `DELE ${number}`));
    deleted.set(token, promised);
  }
  for (const promised of deleted.values()) if (promised.fate === 'kept') promised.fate = 'leaving';
  await mailbox.telling([...deleted.keys()], 'QUIT', () => say(client, 'QUIT'));
  for (const promised of deleted.values()) promised.fate = 'gone';
}

/** @returns its token; undefined when it is not known, or gone since another client deleted it */
async function retrieve(client: LineClient, mailbox: SoakMailbox, number: number): Promise<string | undefined> {
  client.raw(`RETR ${number}\r\n`);
  const first = await client.line();
  if (first === undefined) throw new Broken('closed in RETR');
  if (!first.startsWith('+OK')) {
    // Deleted here, or by another session: it is not known which message the number stood for.
    if (/^-ERR (Message is deleted|\[SYS\/TEMP\] Message is gone)/.test(first)) return undefined;
    throw new Refused(first);
  }
  const lines: string[] = [];
  for (;;) {
    const line = await client.line();
    if (line === undefined) throw new Broken('closed in RETR');
    if (line === '.') break;
    lines.push(line);
  }
  const text = `${lines.join('\r\n')}\r\n`;
  const token = tokenIn(text);
  const promised = mailbox.get(token);
  // Its sender may not have had the answer yet.
  if (promised === undefined) return undefined;
  if (!text.endsWith(promised.text))
    throw new Error(`message ${number} of ${mailbox.user} was read as ${JSON.stringify(text.slice(0, 200))}`);
  return token;
}

async function say(client: LineClient, command: string): Promise<string> {
  client.raw(`${command}\r\n`);
  return await reply(client, command);
}

async function reply(client: LineClient, what: string): Promise<string> {
  const line = await client.line();
  if (line === undefined) throw new Broken(`closed in ${what}`);
  if (!line.startsWith('+OK')) throw new Refused(line);
  return line;
}
