import { parseEnable } from '#protocol/imap/commands/enable.js';
import { row } from '../command-spec.js';
import { MetadataNews } from '../metadata-news.js';
import { ok } from '../outcome.js';
import type { Feature, Session } from '../session.js';

const features: readonly Feature[] = ['CONDSTORE', 'QRESYNC', 'UTF8=ACCEPT', 'IMAP4REV2', 'UIDONLY', 'METADATA', 'METADATA-SERVER'];

function isOffered(session: Session, feature: Feature): boolean {
  if (feature === 'METADATA' || feature === 'METADATA-SERVER') return session.settings.imap_metadata;
  return feature !== 'IMAP4REV2' || session.settings.imap_rev2;
}

/** RFC 5161: unknown capabilities are ignored; ENABLED lists those that this command turned on. */
export const enableRow = row({
  name: 'ENABLE',
  state: 'authenticated',
  flags: [],
  parse: parseEnable,
  async run(session, { capabilities }, { signal }) {
    const done: string[] = [];
    const hadModSeqs = session.has('CONDSTORE');
    for (const name of capabilities) {
      const feature = features.find((known) => known === name);
      if (feature === undefined || !isOffered(session, feature) || session.has(feature)) continue;
      session.enable(feature);
      done.push(feature === 'IMAP4REV2' ? 'IMAP4rev2' : feature);
    }
    if (done.some((name) => name.startsWith('METADATA'))) await watchMetadata(session, signal);
    session.text(`* ENABLED${done.map((name) => ` ${name}`).join('')}\r\n`);
    const view = session.selectedView;
    if (!hadModSeqs && session.has('CONDSTORE') && view !== undefined)
      session.text(`* OK [HIGHESTMODSEQ ${view.highestModSeq}] Highest\r\n`);
    return ok('Enabled.');
  },
});

/** RFC 5464 4.4: METADATA is about the server's entries, too. */
async function watchMetadata(session: Session, signal: AbortSignal): Promise<void> {
  session.metadataNews?.close();
  const news = new MetadataNews(session, session.has('METADATA'));
  session.metadataNews = news;
  await news.start(signal);
}
