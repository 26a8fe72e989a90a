import { parseNothing } from '#protocol/imap/commands/no-arguments.js';
import { encodeString } from '#protocol/imap/encoder.js';
import { encodeUtf8 } from '#protocol/imap/grammar.js';
import { encodeModifiedUtf7 } from '#protocol/imap/mailbox-name.js';
import { row } from '../command-spec.js';
import { ok } from '../outcome.js';
import type { Session } from '../session.js';

function listOf(session: Session, type: 'private' | 'shared' | 'public'): string {
  const parts = session.user.namespaces
    .filter((namespace) => namespace.type === type && !namespace.isHidden)
    .map(({ prefix, separator }) => {
      const name = session.isUtf8 ? encodeString(encodeUtf8(prefix), true) : encodeString(encodeModifiedUtf7(prefix));
      return `(${name} ${encodeString(separator)})`;
    });
  return parts.length === 0 ? 'NIL' : `(${parts.join('')})`;
}

/** RFC 2342: personal, other users', shared. */
export const namespaceRow = row({
  name: 'NAMESPACE',
  state: 'authenticated',
  flags: ['beside-search'],
  parse: parseNothing,
  async run(session) {
    session.text(`* NAMESPACE ${listOf(session, 'private')} ${listOf(session, 'shared')} ${listOf(session, 'public')}\r\n`);
    return ok('Namespace completed.');
  },
});
