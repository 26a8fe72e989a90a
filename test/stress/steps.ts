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

/** With how often each comes. */
const steps: readonly (readonly [number, Step])[] = [
  [10, append],
  [4, replace],
  [4, catenate],
  [2, urlAuth],
  [16, fetchFlags],
  [8, fetchText],
  [4, fetchBinary],
  [4, fetchChanged],
  [3, fetchPart],
  [18, store],
  [7, search],
  [3, checkSort],
  [2, checkThread],
  [3, checkPart],
  [3, checkSaved],
  [3, checkMultiSearch],
  [3, checkKept],
  [8, expunge],
  [5, (session) => copy(session, 'COPY')],
  [3, (session) => copy(session, 'MOVE')],
  [4, (session) => session.run('NOOP')],
  [3, (session) => session.idle()],
  [3, (session) => session.status()],
  [2, (session) => session.leave()],
  [2, (session) => session.select()],
  [2, (session) => session.run('UID FETCH 1:* (FLAGS MODSEQ)')],
  [3, pipeline],
  [3, ownMailbox],
  [1, metadata],
  [1, async (session) => (session.profile.notify === undefined ? undefined : session.notify())],
];

/** Of sessions with a message limit: nothing that has to be about all messages. */
const limitedSteps: typeof steps = [
  [12, limitedFetch],
  [12, limitedSearch],
  [6, limitedStore],
  [4, limitedCopy],
  [10, append],
  [4, catenate],
  [8, expunge],
  [5, (session) => copy(session, 'COPY')],
  [3, (session) => copy(session, 'MOVE')],
  [12, store],
  [8, fetchText],
  [4, fetchBinary],
  [4, (session) => session.run('NOOP')],
  [3, (session) => session.idle()],
  [3, (session) => session.status()],
  [2, (session) => session.leave()],
  [3, ownMailbox],
];

/** One random command, or a few that belong together. */
export async function step(session: StressSession): Promise<void> {
  if (session.view === undefined) await session.select();
  else await choose(session)(session);
}

function choose(session: StressSession): Step {
  if (session.view?.messages.length === 0) return append;
  const own = session.profile.messageLimit === undefined ? steps : limitedSteps;
  let choice = session.options.random(own.reduce((total, [weight]) => total + weight, 0));
  for (const [weight, step] of own) {
    if (choice < weight) return step;
    choice -= weight;
  }
  return search;
}
