// ESEARCH (RFC 7377): a search over several mailboxes.
import { type MailboxFilter, parseMailboxFilter } from '../mailbox-filter.js';
import type { CommandReader } from '../reader.js';
import { parseSearchProgram, type SearchProgram } from '../search-key.js';
import { parseSearchReturn, type SearchReturn } from './search.js';

export interface EsearchCommand {
  /** Undefined: the selected mailbox. */
  readonly sources: readonly MailboxFilter[] | undefined;
  readonly returns: SearchReturn | undefined;
  readonly program: SearchProgram;
}

const maxSources = 100;

export function parseEsearch(reader: CommandReader): EsearchCommand {
  reader.space();
  let sources: MailboxFilter[] | undefined;
  if (reader.tryWord('IN')) {
    reader.space();
    sources = reader.list(() => parseMailboxFilter(reader));
    if (sources.length === 0) reader.fail('No mailboxes.');
    if (sources.length > maxSources) reader.fail('Too many mailboxes.');
    if (sources.some(({ kind }) => kind === 'selected-delayed')) reader.fail('Unknown mailbox filter');
    reader.space();
    // Scope options (RFC 7377 2.2): none are defined yet.
  }
  let returns: SearchReturn | undefined;
  if (reader.tryWord('RETURN')) {
    reader.space();
    returns = parseSearchReturn(reader);
    reader.space();
  }
  // RFC 7377 2.2: both are about the selected mailbox.
  const isSelectedAlone = sources === undefined || sources.every(({ kind }) => kind === 'selected');
  if (returns?.save && !isSelectedAlone) reader.fail('SAVE is for the selected mailbox only.');
  return { sources, returns, program: parseSearchProgram(reader) };
}
