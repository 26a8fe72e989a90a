import { parseEnable } from '#protocol/imap/commands/enable.js';
import { row } from '../command-spec.js';
import { ok } from '../outcome.js';
import type { Feature, Session } from '../session.js';

const features: readonly Feature[] = ['CONDSTORE', 'QRESYNC', 'UTF8=ACCEPT', 'IMAP4REV2', 'UIDONLY'];

function isOffered(session: Session, feature: Feature): boolean {
  return feature !== 'IMAP4REV2' || session.settings.imap_rev2;
}

/** RFC 5161: unknown capabilities are ignored; ENABLED lists those that this command turned on. */
export const enableRow = row({
  name: 'ENABLE',
  state: 'authenticated',
  flags: [],
  parse: parseEnable,
  async run(session, { capabilities }) {
    const done: string[] = [];
    const hadModSeqs = session.has('CONDSTORE');
    for (const name of capabilities) {
      const feature = features.find((known) => known === name);
      if (feature === undefined || !isOffered(session, feature) || session.has(feature)) continue;
      session.enable(feature);
      done.push(feature === 'IMAP4REV2' ? 'IMAP4rev2' : feature);
    }
    session.text(`* ENABLED${done.map((name) => ` ${name}`).join('')}\r\n`);
    const view = session.selectedView;
    if (!hadModSeqs && session.has('CONDSTORE') && view !== undefined)
      session.text(`* OK [HIGHESTMODSEQ ${view.highestModSeq}] Highest\r\n`);
    return ok('Enabled.');
  },
});
