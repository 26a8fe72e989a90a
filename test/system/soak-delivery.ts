// SMTP and LMTP clients of the soak.
import { setTimeout as sleep } from 'node:timers/promises';
import { Broken, Refused } from './soak-attempt.js';
import type { SoakConnection } from './soak-connection.js';
import { messageText, type SoakMailbox } from './soak-mail.js';

export interface Delivery {
  readonly hello: 'EHLO' | 'LHLO';
  readonly mailbox: SoakMailbox;
  readonly withStartTls: boolean;
}

/** Some messages for one user, up to QUIT. @throws Refused, Broken */
export async function deliver(
  connection: SoakConnection,
  { hello, mailbox, withStartTls }: Delivery,
  random: (below: number) => number,
): Promise<void> {
  const reply = async (what: string, wanted: string): Promise<string> => {
    for (;;) {
      const line = await connection.client.line();
      if (line === undefined) throw new Broken(`closed in ${what}`);
      if (line[3] === '-') continue;
      if (!line.startsWith(wanted)) throw new Refused(line);
      return line;
    }
  };
  const say = (line: string, wanted: string): Promise<string> => {
    connection.client.raw(`${line}\r\n`);
    return reply(line.slice(0, 20), wanted);
  };
  await reply('greeting', '220');
  await say(`${hello} soak`, '250');
  if (withStartTls) {
    await say('STARTTLS', '220');
    await connection.startTls();
    await say(`${hello} soak`, '250');
  }
  for (let count = 1 + random(4); count > 0; count--) {
    const token = mailbox.newToken();
    const text = messageText(token, random);
    await say('MAIL FROM:<soak@example.com>', '250');
    await say(`RCPT TO:<${mailbox.user}@localhost>`, '250');
    await say('DATA', '354');
    await mailbox.telling([token], 'delivery', () => say(`${text}.`, '250'));
    mailbox.promise(token, { uid: undefined, uidValidity: undefined, text, flags: '', fate: 'kept' });
    await sleep(random(50));
  }
  await say('QUIT', '221');
}
