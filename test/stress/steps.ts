// What a session does next, and how often.
import { checkKept } from './check-kept.js';
import { checkMultiSearch } from './check-multi-search.js';
import { checkSearch } from './check-search.js';
import { checkPart, checkSaved, checkSort, checkThread } from './check-sort.js';
import { fetchBinary } from './fetch-binary.js';
import type { StressSession } from './session.js';
import { append, replace } from './step-append.js';
import { catenate, urlAuth } from './step-catenate.js';
import { copy, expunge } from './step-expunge.js';
import { fetchChanged, fetchFlags, fetchPart, fetchText } from './step-fetch.js';
import { metadata, ownMailbox } from './step-folders.js';
import { limitedCopy, limitedFetch, limitedSearch, limitedStore } from './step-limited.js';
import { pipeline } from './step-pipeline.js';
import { store } from './step-store.js';

type Step = (session: StressSession) => Promise<unknown>;

const search: Step = async (session) => {
  if (session.view !== undefined) await checkSearch(session, session.view, session.options.random, session.usesUids);
};

/** Each with its name, and how often it comes. */
type Weighted = readonly (readonly [weight: number, name: string, step: Step])[];

const steps: Weighted = [
  [10, 'APPEND', append],
  [4, 'REPLACE', replace],
  [4, 'CATENATE', catenate],
  [2, 'URLAUTH', urlAuth],
  [16, 'FETCH', fetchFlags],
  [8, 'FETCH-TEXT', fetchText],
  [4, 'FETCH-BINARY', fetchBinary],
  [4, 'FETCH-CHANGED', fetchChanged],
  [3, 'FETCH-PARTIAL', fetchPart],
  [18, 'STORE', store],
  [7, 'SEARCH', search],
  [3, 'SORT', checkSort],
  [2, 'THREAD', checkThread],
  [3, 'SEARCH-PARTIAL', checkPart],
  [3, 'SEARCH-SAVE', checkSaved],
  [3, 'ESEARCH', checkMultiSearch],
  [3, 'SEARCH-UPDATE', checkKept],
  [8, 'EXPUNGE', expunge],
  [5, 'COPY', (session) => copy(session, 'COPY')],
  [3, 'MOVE', (session) => copy(session, 'MOVE')],
  [4, 'NOOP', (session) => session.run('NOOP')],
  [3, 'IDLE', (session) => session.idle()],
  [3, 'STATUS', (session) => session.status()],
  [2, 'CLOSE', (session) => session.leave()],
  [2, 'SELECT', (session) => session.select()],
  [2, 'FETCH-ALL', (session) => session.run('UID FETCH 1:* (FLAGS MODSEQ)')],
  [3, 'PIPELINE', pipeline],
  [3, 'CREATE', ownMailbox],
  [1, 'METADATA', metadata],
  [1, 'NOTIFY', async (session) => (session.profile.notify === undefined ? undefined : session.notify())],
];

/** Of sessions with a message limit: nothing that has to be about all messages. */
const limitedSteps: Weighted = [
  [12, 'FETCH-ALL', limitedFetch],
  [12, 'SEARCH', limitedSearch],
  [6, 'STORE', limitedStore],
  [4, 'COPY', limitedCopy],
  [10, 'APPEND', append],
  [4, 'CATENATE', catenate],
  [8, 'EXPUNGE', expunge],
  [5, 'COPY', (session) => copy(session, 'COPY')],
  [3, 'MOVE', (session) => copy(session, 'MOVE')],
  [12, 'STORE', store],
  [8, 'FETCH-TEXT', fetchText],
  [4, 'FETCH-BINARY', fetchBinary],
  [4, 'NOOP', (session) => session.run('NOOP')],
  [3, 'IDLE', (session) => session.idle()],
  [3, 'STATUS', (session) => session.status()],
  [2, 'CLOSE', (session) => session.leave()],
  [3, 'CREATE', ownMailbox],
];

export const stepNames: ReadonlySet<string> = new Set([...steps, ...limitedSteps].map(([, name]) => name));

/** One random command, or a few that belong together. */
export async function step(session: StressSession): Promise<void> {
  if (session.view === undefined) await session.select();
  else await choose(session)(session);
}

function choose(session: StressSession): Step {
  if (session.view?.messages.length === 0) return append;
  const { only, random } = session.options;
  const own = (session.profile.messageLimit === undefined ? steps : limitedSteps).filter(([, name]) => only?.has(name) ?? true);
  const total = own.reduce((sum, [weight]) => sum + weight, 0);
  // Nothing of what was asked for can be done by this kind of session.
  if (total === 0) return (session) => session.run('NOOP');
  let choice = random(total);
  for (const [weight, , step] of own) {
    if (choice < weight) return step;
    choice -= weight;
  }
  return search;
}
