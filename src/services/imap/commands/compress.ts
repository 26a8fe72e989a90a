import { parseCompress } from '#protocol/imap/commands/compress.js';
import { row } from '../command-spec.js';
import { bad, no, ok } from '../outcome.js';

/** RFC 4978 */
export const compressRow = row({
  name: 'COMPRESS',
  state: 'any',
  flags: ['no-updates'],
  parse: parseCompress,
  async run(session, { mechanism }) {
    if (mechanism !== 'DEFLATE' || !session.settings.imap_compress) return bad('Unknown compression mechanism.');
    if (session.input.isCompressed) return no('COMPRESSIONACTIVE', 'COMPRESSIONACTIVE');
    session.input.compressAfterReply();
    return ok('Begin compression.');
  },
});
