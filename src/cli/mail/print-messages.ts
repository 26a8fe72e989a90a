// The loop of `fetch`: messages of one mailbox, slice by slice, each as a row.
import { StorageError } from '#storage/errors.js';
import type { MessageReader } from '#storage/mailbox.js';
import type { MessageNeeds } from '#storage/types.js';
import type { MailAccount, UserPrinter } from './each-user.js';
import type { FetchedMessage, FetchField } from './fetch-fields.js';
import type { Selection } from './select-messages.js';

const sliceSize = 200;

export async function printMessages(
  account: MailAccount,
  { mailbox, view, seqs }: Selection,
  fields: readonly FetchField[],
  printer: UserPrinter,
): Promise<void> {
  const { signal } = account;
  const needs = allNeeds(fields);
  const hasNeeds = Object.keys(needs).length > 0;
  for (let from = 0; from < seqs.length; from += sliceSize) {
    signal.throwIfAborted();
    const slice = seqs.slice(from, from + sliceSize);
    const gone = new Set(hasNeeds ? await view.prepare(slice, needs, signal) : []);
    for (const seq of slice) {
      if (gone.has(seq)) continue;
      let reader: MessageReader | undefined;
      const message: FetchedMessage = {
        user: account.name,
        mailbox,
        view,
        seq,
        open: async () => {
          reader ??= await view.openMessage(seq, signal);
          return reader;
        },
      };
      try {
        // All that can fail is asked for before the row begins.
        const cells = [];
        for (const field of fields) cells.push(await field.read(message));
        await printer.row(account, cells);
      } catch (error) {
        if (!(error instanceof StorageError)) throw error;
        // Expunged by another session a moment ago: as if it had never matched.
        if (error.code !== 'expunged') account.failed(`Mailbox ${mailbox.name}: UID=${view.uidAt(seq)}: fetch failed`, error);
      } finally {
        await reader?.close();
      }
    }
  }
}

function allNeeds(fields: readonly FetchField[]): MessageNeeds {
  const headers = fields.flatMap(({ needs }) => needs?.headers ?? []);
  const merged: MessageNeeds = Object.assign({}, ...fields.map(({ needs }) => needs ?? {}));
  return headers.length === 0 ? merged : { ...merged, headers: [...new Set(headers)] };
}
