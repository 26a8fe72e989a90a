// Which mailboxes NOTIFY and ESEARCH speak about (RFC 5465 6, RFC 7377 2.2).
import type { CommandReader } from './reader.js';

export type MailboxFilter =
  | { readonly kind: 'selected' | 'selected-delayed' | 'inboxes' | 'personal' | 'subscribed' }
  | { readonly kind: 'subtree' | 'subtree-one' | 'mailboxes'; readonly names: readonly string[] };

const maxNames = 1000;
const plainKinds = ['SELECTED', 'SELECTED-DELAYED', 'INBOXES', 'PERSONAL', 'SUBSCRIBED'] as const;

export function parseMailboxFilter(reader: CommandReader): MailboxFilter {
  const name = reader.word('mailbox filter');
  const plain = plainKinds.find((kind) => kind === name);
  if (plain !== undefined) return { kind: plain.toLowerCase() as Lowercase<typeof plain> };
  if (name !== 'SUBTREE' && name !== 'SUBTREE-ONE' && name !== 'MAILBOXES') return reader.fail(`Unknown mailbox filter ${name}`);
  reader.space();
  // One name, or a list of them.
  const names = reader.isAtList ? reader.list(() => reader.mailbox()) : [reader.mailbox()];
  if (names.length === 0) reader.fail('Empty mailbox list.');
  if (names.length > maxNames) reader.fail('Too many mailboxes.');
  return { kind: name === 'SUBTREE' ? 'subtree' : name === 'SUBTREE-ONE' ? 'subtree-one' : 'mailboxes', names };
}
