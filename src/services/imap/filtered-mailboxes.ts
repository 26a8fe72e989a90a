// Mailbox filters (RFC 5465 6) applied to the account.
import type { MailboxFilter } from '#protocol/imap/mailbox-filter.js';
import type { MailboxListEntry, MailUser } from '#storage/user.js';

/** True when the filter covers this mailbox. The selected mailbox has a name only in a session, so its filters cover none. */
export function matchesFilter(user: MailUser, filter: MailboxFilter, entry: MailboxListEntry): boolean {
  const { name, separator } = entry;
  switch (filter.kind) {
    case 'selected':
    case 'selected-delayed':
      return false;
    case 'inboxes':
      return name === 'INBOX';
    case 'personal':
      return isPersonal(user, name);
    case 'subscribed':
      return entry.isSubscribed;
    case 'mailboxes':
      return filter.names.includes(name);
    case 'subtree':
      return filter.names.some((top) => name === top || name.startsWith(top + separator));
    case 'subtree-one':
      return filter.names.some(
        (top) => name === top || (name.startsWith(top + separator) && !name.slice(top.length + separator.length).includes(separator)),
      );
  }
}

/** In a private namespace: the one with the longest prefix that fits. */
function isPersonal(user: MailUser, name: string): boolean {
  let best: MailUser['namespaces'][number] | undefined;
  for (const namespace of user.namespaces) {
    if (name.startsWith(namespace.prefix) && (best === undefined || namespace.prefix.length > best.prefix.length)) best = namespace;
  }
  return (best ?? user.namespaces.find(({ isInbox }) => isInbox))?.type === 'private';
}
