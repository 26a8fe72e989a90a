import { parseCancelUpdate } from '#protocol/imap/commands/cancel-update.js';
import { row } from '../command-spec.js';
import { no, ok } from '../outcome.js';

/** RFC 5267 4.3.5 */
export const cancelUpdateRow = row({
  name: 'CANCELUPDATE',
  state: 'selected',
  flags: [],
  parse: parseCancelUpdate,
  async run({ contexts }, { tags }) {
    // Those that are known are cancelled in any case.
    const unknown = tags.filter((tag) => !contexts.cancel(tag));
    return unknown.length === 0 ? ok('Updates cancelled.') : no('Unknown tag.');
  },
});
