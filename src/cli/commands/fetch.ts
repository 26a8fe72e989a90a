import type { CommandSpec } from '../command.js';
import { queryArgument } from './search.js';

export const fetch: CommandSpec = {
  name: 'fetch',
  summary: 'Print messages, or facts about them',
  arguments: [{ syntax: '<fields>', doc: 'in one argument: "uid flags hdr.subject body"; a wrong one lists them all' }, queryArgument],
  isMail: true,
  takesQuery: true,
  format: 'pager',
  async run(call) {
    const [{ parseQuery }, { forEachUser, printForUsers }, { forEachSelection }, { parseFetchFields }, { printMessages }] =
      await Promise.all([
        import('../query.js'),
        import('../mail/each-user.js'),
        import('../mail/select-messages.js'),
        import('../mail/fetch-fields.js'),
        import('../mail/print-messages.js'),
      ]);
    const [names = '', ...words] = call.args;
    const fields = parseFetchFields(names);
    const query = parseQuery(words, Date.now());
    const printer = printForUsers(
      call,
      fields.map(({ name }) => ({ key: name })),
    );
    await forEachUser(call, (account) =>
      forEachSelection(account, query, { readOnly: true }, (selection) => printMessages(account, selection, fields, printer)),
    );
    await printer.end();
  },
};
