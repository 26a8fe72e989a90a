// A mailbox of its own for each session: made, filled, listed, renamed and deleted while all the others do the same.
import { readSet } from './reply.js';
import type { StressSession } from './session.js';

async function expectOk(session: StressSession, command: string): Promise<string> {
  const reply = await session.run(command);
  if (!reply.startsWith('OK')) session.fail(`${command}: ${reply}`);
  return reply;
}

export async function ownMailbox(session: StressSession): Promise<void> {
  const { own } = session;
  if (own === undefined) {
    session.made += 1;
    session.own = { name: `own-${session.name}-${session.made}`, count: 0 };
    await expectOk(session, `CREATE ${session.own.name}`);
    return;
  }
  switch (session.options.random(6)) {
    case 0: {
      session.made += 1;
      const name = `own-${session.name}-${session.made}`;
      await expectOk(session, `RENAME ${own.name} ${name}`);
      own.name = name;
      break;
    }
    case 1:
      await expectOk(session, `DELETE ${own.name}`);
      session.own = undefined;
      return;
    case 2:
      await expectOk(session, `APPEND ${own.name} {14+}\r\nSubject: x\r\n\r\n`);
      own.count += 1;
      break;
    case 3:
      await expectOk(session, session.any(['SUBSCRIBE', 'UNSUBSCRIBE']).concat(` ${own.name}`));
      break;
    default:
      await copyToOwn(session, own);
  }
  await checkOwn(session, own);
}

async function copyToOwn(session: StressSession, own: { name: string; count: number }): Promise<void> {
  const { view } = session;
  const known = view === undefined ? undefined : session.anyKnown(view);
  if (known === undefined) return;
  const reply = await session.run(`UID COPY ${known.uid}:${known.uid + 5} ${own.name}`);
  const code = /\[COPYUID \d+ ([\d:,]+) ([\d:,]+)\]/.exec(reply);
  if (code !== null) own.count += readSet(code[2] ?? '').length;
  else if (!reply.startsWith('OK') && !/^NO \[(EXPUNGEISSUED|INUSE)/.test(reply)) session.fail(`COPY to ${own.name}: ${reply}`);
}

async function checkOwn(session: StressSession, own: { name: string; count: number }): Promise<void> {
  await expectOk(session, `STATUS ${own.name} (MESSAGES)`);
  if (!session.lines.some((line) => line === `* STATUS ${own.name} (MESSAGES ${own.count})`))
    session.fail(`${own.name} has ${own.count} messages: ${session.lines.filter((line) => line.startsWith('* STATUS')).join('; ')}`);
  await expectOk(session, `LIST "" own-${session.name}-%`);
  const names = session.lines.filter((line) => line.startsWith('* LIST')).map((line) => line.split(' ').at(-1));
  if (names.length !== 1 || names[0] !== own.name) session.fail(`LIST has ${names.join(', ')}, there is ${own.name}`);
}

/** RFC 5464: an entry that nobody else writes. */
export async function metadata(session: StressSession): Promise<void> {
  if (!session.capabilities.has('METADATA')) return;
  const name = session.nameOf(session.any(session.options.ledgers));
  const entry = `/private/vendor/stress/${session.name}`;
  const value = String(session.options.random(1_000));
  await expectOk(session, `SETMETADATA ${name} (${entry} "${value}")`);
  await expectOk(session, `GETMETADATA ${name} ${entry}`);
  if (!session.lines.some((line) => line.startsWith('* METADATA') && line.includes(value)))
    session.fail(`METADATA of ${name} is not ${value}`);
}
