// The state of a session that waits in IDLE, as text, so that another process can go on with it.
//
// Everything a client could notice is in it, but for what keeps a session where it is (NOTIFY, search contexts, compression). Only sealed texts
// are read (ServiceContext.seal), so the reader believes what it says; the version guards against a text of another release.
import type { Mailbox, SuspendedView } from '#storage/mailbox.js';
import type { Uid } from '#storage/types.js';
import { rangesOf } from '#util/number-set.js';
import type { SessionCounters } from './counters.js';
import { keptFlags, myRights } from './rights.js';
import type { Feature, Session } from './session.js';

const version = 1;

export interface SessionState {
  readonly version: typeof version;
  /** Of the IDLE that goes on. */
  readonly tag: string;
  readonly enabled: readonly Feature[];
  /** Undefined when no mailbox is selected. */
  readonly selected: { readonly name: string; readonly view: SuspendedView } | undefined;
  readonly savedSearch: readonly (readonly [number, number])[];
  readonly counters: SessionCounters;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** When the client sent something last, ms since the epoch. */
  readonly lastInputAtMs: number;
  /** When IDLE began; ms since the epoch. Undefined: just now. */
  readonly idleSinceMs?: number | undefined;
  /** When the client is to hear next that the server is still here; ms since the epoch, 0 never. Undefined: after the whole interval. */
  readonly keepAliveAtMs?: number | undefined;
}

/** What the session itself does not know. */
export type ConnectionFacts = Pick<SessionState, 'tag' | 'bytesRead' | 'bytesWritten' | 'lastInputAtMs' | 'idleSinceMs' | 'keepAliveAtMs'>;

/** Undefined when the session holds what cannot move. The view must have been synced just before. */
export function suspendSession(session: Session, facts: ConnectionFacts): SessionState | undefined {
  if (session.notify !== undefined || session.metadataNews !== undefined || !session.contexts.isEmpty || session.input.isCompressed)
    return undefined;
  const view = session.selectedView;
  const suspended = view?.suspend();
  if (view !== undefined && suspended === undefined) return undefined;
  return {
    version,
    ...facts,
    enabled: session.enabled,
    selected: view === undefined || suspended === undefined ? undefined : { name: view.mailbox.name, view: suspended },
    savedSearch: rangesOf(session.savedSearch),
    counters: session.counters,
  };
}

/**
 * @param open the selected mailbox, where this process still has it
 * @throws StorageError when it is not what it was
 */
export async function resumeSession(session: Session, state: SessionState, signal: AbortSignal, open?: Mailbox): Promise<void> {
  if (state.version !== version) throw new Error('the session was suspended by another release');
  for (const feature of state.enabled) session.enable(feature);
  Object.assign(session.counters, state.counters);
  if (state.selected === undefined) return;
  const mailbox = open ?? (await session.user.openMailbox(state.selected.name, signal));
  const rights = await myRights(session, state.selected.name, signal);
  await session.select(await mailbox.resumeView(state.selected.view, signal), keptFlags(rights));
  const saved: number[] = [];
  for (const [first, last] of state.savedSearch) for (let uid = first; uid <= last; uid += 1) saved.push(uid);
  session.savedSearch = saved as Uid[];
}
