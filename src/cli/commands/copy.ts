import type { CommandCall, CommandSpec } from '../command.js';
import { queryArgument } from './search.js';

const target = { syntax: '<mailbox>', doc: 'where to' };

export const copy: CommandSpec = {
  name: 'copy',
  summary: 'Copy messages into a mailbox of the same user',
  arguments: [target, queryArgument],
  isMail: true,
  takesQuery: true,
  format: 'flow',
  run: (call) => transfer(call, 'copy'),
};

export const move: CommandSpec = {
  name: 'move',
  summary: 'Move messages into a mailbox of the same user',
  arguments: [target, queryArgument],
  isMail: true,
  takesQuery: true,
  format: 'flow',
  run: (call) => transfer(call, 'move'),
};

async function transfer(call: CommandCall, how: 'copy' | 'move'): Promise<void> {
  const [{ parseQuery }, { forEachUser }, { forEachSelection }, { StorageError }] = await Promise.all([
    import('../query.js'),
    import('../mail/each-user.js'),
    import('../mail/select-messages.js'),
    import('#storage/errors.js'),
  ]);
  const [name = '', ...words] = call.args;
  const query = parseQuery(words, Date.now());
  await forEachUser(call, async (account) => {
    const { mail, signal, failed } = account;
    let mailbox: Awaited<ReturnType<typeof mail.openMailbox>>;
    try {
      mailbox = await mail.openMailbox(name, signal);
    } catch (error) {
      failed(`Can't open mailbox '${name}'`, error);
      return;
    }
    await forEachSelection(account, query, { readOnly: how === 'copy' }, async ({ view, seqs, mailbox: source }) => {
      // Moving messages to where they are changes nothing but their UIDs.
      if (how === 'move' && source.guid === mailbox.guid) return;
      try {
        await view[how](seqs, mailbox, signal);
      } catch (error) {
        if (!(error instanceof StorageError)) throw error;
        failed(
          how === 'copy' ? `Copying messages from mailbox ${source.name} failed` : `Moving messages from mailbox ${source.name} failed`,
          error,
        );
      }
    });
  });
}
