import type { CommandCall, CommandSpec } from '../command.js';
import { queryArgument } from './search.js';

const flagCommand = (mode: 'add' | 'remove' | 'replace', summary: string): CommandSpec => ({
  name: `flags ${mode}`,
  summary,
  arguments: [{ syntax: '<flags>', doc: "in one argument: '\\Seen $Forwarded'" }, queryArgument],
  isMail: true,
  takesQuery: true,
  format: 'flow',
  run: (call) => change(call, mode),
});

export const flagsAdd = flagCommand('add', 'Add flags to messages');
export const flagsRemove = flagCommand('remove', 'Remove flags from messages');
export const flagsReplace = flagCommand('replace', 'Replace all flags of messages');

async function change(call: CommandCall, mode: 'add' | 'remove' | 'replace'): Promise<void> {
  const [{ parseQuery }, { forEachUser }, { forEachSelection }, { parseFlags }] = await Promise.all([
    import('../query.js'),
    import('../mail/each-user.js'),
    import('../mail/select-messages.js'),
    import('../mail/flags.js'),
  ]);
  const [names = '', ...words] = call.args;
  const flags = parseFlags(names);
  const query = parseQuery(words, Date.now());
  await forEachUser(call, (account) =>
    forEachSelection(account, query, { readOnly: false }, async ({ view, seqs }) => {
      await view.store(seqs, { mode, flags, unchangedSince: undefined }, { silent: true }, account.signal);
    }),
  );
}
