import { parseNothing } from '#protocol/imap/commands/no-arguments.js';
import { capabilitiesOf } from '../capability.js';
import { row } from '../command-spec.js';
import { ok } from '../outcome.js';

export const capabilityRow = row({
  name: 'CAPABILITY',
  state: 'any',
  flags: ['beside-search'],
  parse: parseNothing,
  async run(session) {
    session.text(`* CAPABILITY ${capabilitiesOf(session)}\r\n`);
    return ok('Capability completed.');
  },
});
