import type { MailboxStatus } from '#storage/types.js';
import type { CommandSpec } from '../command.js';
import type { MailAccount } from '../mail/each-user.js';
import type { Cell } from '../print/format.js';

const statusFields = ['messages', 'recent', 'uidnext', 'uidvalidity', 'unseen', 'highestmodseq', 'vsize', 'guid', 'firstsaved'] as const;
type StatusField = (typeof statusFields)[number];
/** What a sum over mailboxes makes sense of. */
const summable: readonly StatusField[] = ['messages', 'recent', 'unseen', 'vsize'];

export const mailboxStatus: CommandSpec = {
  name: 'mailbox status',
  summary: 'Show counts of mailboxes',
  arguments: [
    { syntax: '<fields>', doc: `"all", or some of ${statusFields.join(' ')} in one argument` },
    { syntax: '<mask...>', doc: 'names with * (anything) and % (one level)' },
  ],
  options: [{ flags: '-t, --total-sum', doc: 'the sum over all mailboxes' }],
  isMail: true,
  format: 'flow',
  async run(call) {
    const { args, flag } = call;
    const { forEachUser, printForUsers } = await import('../mail/each-user.js');
    const isSum = flag('total-sum');
    const fields = await parseFields(args[0] ?? '', isSum);
    const printer = printForUsers(call, [...(isSum ? [] : [{ key: 'mailbox', hidesTitle: true }]), ...fields.map((key) => ({ key }))]);
    await forEachUser(call, async (account) => {
      const sums = new Map<StatusField, number>();
      for (const name of await namesOf(account, args.slice(1))) {
        try {
          const mailbox = await account.mail.openMailbox(name, account.signal);
          const status = await mailbox.status({ size: fields.includes('vsize') }, account.signal);
          if (isSum) for (const field of fields) sums.set(field, (sums.get(field) ?? 0) + Number(simpleCell(field, status)));
          else {
            const saved = fields.includes('firstsaved') ? await firstSaved(account, name) : never;
            await printer.row(account, [name, ...fields.map((field) => (field === 'firstsaved' ? saved : simpleCell(field, status)))]);
          }
        } catch (error) {
          account.failed(`Mailbox ${name}: Failed to lookup mailbox status`, error);
        }
      }
      if (isSum)
        await printer.row(
          account,
          fields.map((field) => sums.get(field) ?? 0),
        );
    });
    await printer.end();
  },
};

async function parseFields(text: string, isSum: boolean): Promise<readonly StatusField[]> {
  const { AdminError } = await import('../exit-codes.js');
  const fields: StatusField[] = [];
  for (const word of text.split(/\s+/).filter((part) => part !== '')) {
    if (word === 'all') return isSum ? summable : statusFields;
    const field = statusFields.find((known) => known === word.toLowerCase());
    if (field === undefined) throw new AdminError('usage', `Unknown status field: ${word}`);
    if (isSum && !summable.includes(field)) throw new AdminError('usage', `Status field ${field} can't be used with -t`);
    fields.push(field);
  }
  if (fields.length === 0) throw new AdminError('usage', 'No status fields given');
  return fields;
}

/** A name without wildcards counts even when no list shows it. */
async function namesOf({ mail, signal }: MailAccount, masks: readonly string[]): Promise<Iterable<string>> {
  const names = new Set<string>();
  for (const mask of masks) {
    if (!/[*%]/.test(mask)) names.add(mask.toUpperCase() === 'INBOX' ? 'INBOX' : mask);
    else {
      const entries = await mail.list([mask], { subscribedOnly: false }, signal);
      for (const { name, isSelectable } of entries) if (isSelectable) names.add(name);
    }
  }
  return names;
}

function simpleCell(field: StatusField, status: MailboxStatus): Cell {
  switch (field) {
    case 'messages':
      return status.messages;
    case 'recent':
      return status.recent;
    case 'uidnext':
      return status.uidNext;
    case 'uidvalidity':
      return status.uidValidity;
    case 'unseen':
      return status.unseen;
    case 'highestmodseq':
      return status.highestModSeq;
    case 'vsize':
      return status.size ?? 0;
    case 'guid':
      return status.guid;
    case 'firstsaved':
      return never;
  }
}

const never: Cell = { shown: 'never', json: null };

async function firstSaved({ mail, signal }: MailAccount, name: string): Promise<Cell> {
  const mailbox = await mail.openMailbox(name, signal);
  await using view = await mailbox.openView({ readOnly: true }, signal);
  if (view.count === 0) return never;
  const gone = await view.prepare([1], { saveDate: true }, signal);
  if (gone.length > 0) return never;
  const { unixTimeCell } = await import('../time-text.js');
  return unixTimeCell(view.saveDateAt(1));
}
