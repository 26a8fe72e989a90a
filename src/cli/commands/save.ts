import type { CommandSpec } from '../command.js';

export const save: CommandSpec = {
  name: 'save',
  summary: 'Save the message on standard input',
  options: [
    { flags: '-m, --mailbox <name>', doc: 'where to; INBOX unless told' },
    { flags: '-r, --received <date>', doc: 'when it arrived: 2026-01-31, 2d, or a UNIX timestamp; now unless told' },
    { flags: '--flags <flags>', doc: "in one argument: '\\Seen $Forwarded'" },
  ],
  isMail: true,
  format: 'flow',
  async run(call) {
    const { context, text } = call;
    const [{ forEachUser }, { readMessage }, { parseFlags }, { parsePoint }] = await Promise.all([
      import('../mail/each-user.js'),
      import('../mail/read-message.js'),
      import('../mail/flags.js'),
      import('../query-values.js'),
    ]);
    const name = text('mailbox') ?? 'INBOX';
    const received = text('received');
    const options = {
      flags: parseFlags(text('flags') ?? ''),
      internalDateMs: received === undefined ? undefined : parsePoint(received, Date.now()),
    };
    // Read whole: with -A every user gets it, and nothing is kept of a message that broke off.
    const message = await readMessage(process.stdin, context.signal);
    await forEachUser(call, async ({ mail, signal, failed }) => {
      try {
        const mailbox = await mail.openMailbox(name, signal);
        await using transaction = mailbox.beginAppend('append');
        const writer = await transaction.add({ ...options, expectedBytes: message.length }, signal);
        await writer.write(message);
        await writer.end();
        await transaction.commit(signal);
      } catch (error) {
        failed(`Failed to save mail to mailbox ${name}`, error);
      }
    });
  },
};
