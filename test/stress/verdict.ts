// The first thing that was wrong ends a run: what it was, which session saw it, and what that session and the others had said and heard.
import { namesNumber, uidsIn } from './exchanges.js';
import type { StressSession } from './session.js';

export class StressFailure extends Error {
  override readonly name = 'StressFailure';
}

/** What several sessions were told together cannot be: which of them was told last, whoever runs its steps knows. */
class Contradiction extends Error {
  override readonly name = 'Contradiction';
}

export interface VerdictOptions {
  /** How to run this again. */
  readonly repeat: string;
  /** All there are, also those that come later. */
  readonly sessions: readonly StressSession[];
  /** What the processes of the server are doing. */
  readonly states?: (() => string) | undefined;
}

export class Verdict {
  readonly #options: VerdictOptions;
  #failure: StressFailure | undefined;

  constructor(options: VerdictOptions) {
    this.#options = options;
  }

  /** Undefined while nothing is wrong. */
  get failure(): StressFailure | undefined {
    return this.#failure;
  }

  /** @throws StressFailure the first one */
  fail(reason: string, session?: StressSession): never {
    throw this.#settle(reason, session);
  }

  /** Of a ledger. @throws Contradiction */
  contradict(reason: string): never {
    throw new Contradiction(reason);
  }

  /** What a thrown error means. @param session whose step it ended */
  of(error: unknown, session?: StressSession): unknown {
    if (!(error instanceof Error) || error === this.#failure) return error;
    if (error instanceof Contradiction) return this.#settle(error.message, session);
    return this.#settle(`${error.stack ?? error.message}\n${this.#options.states?.() ?? ''}`, session);
  }

  #settle(reason: string, session: StressSession | undefined): StressFailure {
    const { repeat, sessions } = this.#options;
    const shown = session === undefined ? reason : `${session.name}: ${reason}`;
    this.#failure ??= new StressFailure(`${shown}\n\n${repeat}\n\n${histories(sessions, reason, session)}`);
    return this.#failure;
  }
}

/** @param failed its last exchanges are told in full; of the others a few lines */
function histories(sessions: readonly StressSession[], reason: string, failed: StressSession | undefined): string {
  const uids = uidsIn(reason);
  const ledgers = sessions[0]?.options.ledgers ?? [];
  const stories = ledgers.flatMap((ledger) => uids.map((uid) => ledger.storyOf(uid))).filter((story) => story !== undefined);
  const ofSessions = sessions.map((session) => {
    const last = session === failed ? session.exchanges.report(reason) : session.exchanges.tail(12);
    // What was said about the messages in question may be further back.
    const about = uids.length === 0 ? [] : session.journal.filter((line) => uids.some((uid) => namesNumber(line, uid))).slice(-12);
    return `--- ${session.name}\n${about.length > 0 ? `with UID ${uids.join(', ')}, or that number:\n${about.join('\n')}\nlast:\n` : ''}${last}`;
  });
  return [...stories, ...ofSessions].join('\n');
}
