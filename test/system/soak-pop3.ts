// POP3 clients of the soak: they read what is there and delete some of it, which holds from the answer to QUIT on and not before.
import type { LineClient } from '../support/line-client.js';
import { Broken, Refused } from './soak-attempt.js';
import type { SoakConnection } from './soak-connection.js';
import { type Promised, type SoakMail, tokenIn } from './soak-mail.js';

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
export async function pop3Work(client: LineClient, user: string, mail: SoakMail, random: (below: number) => number): Promise<void> {
  const count = Number(/^\+OK (\d+)/.exec(await say(client, 'STAT'))?.[1]);
  const deleted: Promised[] = [];
  for (let step = random(5); step > 0 && count > 0; step--) {
    const number = 1 + random(count);
    const promised = await retrieve(client, user, mail, number);
    if (promised === undefined || deleted.includes(promised) || random(2) === 0) continue;
    await say(client, `DELE ${number}`);
    deleted.push(promised);
  }
  for (const promised of deleted) if (promised.fate === 'kept') promised.fate = 'leaving';
  await say(client, 'QUIT');
  for (const promised of deleted) promised.fate = 'gone';
}

/** @returns undefined when it is not known, or gone since another client deleted it */
async function retrieve(client: LineClient, user: string, mail: SoakMail, number: number): Promise<Promised | undefined> {
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
  const promised = mail.of(user).get(tokenIn(text));
  // Its sender may not have had the answer yet.
  if (promised === undefined) return undefined;
  if (!text.endsWith(promised.text)) throw new Error(`message ${number} of ${user} was read as ${JSON.stringify(text.slice(0, 200))}`);
  return promised;
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
