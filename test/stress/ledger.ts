// What all sessions together know about a mailbox: facts that no server may contradict, whatever the order in which it ran their commands.
//
// Time is a counter of events at the checker: a command happened at some moment between its start (sent) and its end (reply read).
// A flag may have the value v exactly when some write of v did not end before a write of the other value began.

export const allFlags = ['\\Seen', '\\Answered', '\\Flagged', '\\Deleted', '\\Draft', 'kw1', 'kw2', '$Forwarded'] as const;

interface FlagTimes {
  /** Latest end of a write that set or cleared it, Infinity while one is under way. */
  setEnd: number;
  clearEnd: number;
  /** Latest start of a write that certainly happened. */
  setStart: number;
  clearStart: number;
}

export interface MessageFacts {
  readonly uid: number;
  token: string | undefined;
  /** INTERNALDATE, ENVELOPE and so on, by name. */
  readonly fixed: Map<string, string>;
  readonly flags: Map<string, FlagTimes>;
  /** Flags that go with each modseq: one modseq, one set of flags (RFC 7162 3.1). */
  readonly flagsAt: Map<number, string>;
  highestModSeq: number;
  /** Its UID came in APPENDUID or COPYUID. */
  isAcknowledged: boolean;
  /** A session was told that it is gone, or its own EXPUNGE had to take it. */
  goneSince: number | undefined;
  whyGone: string | undefined;
  /** Some command may have expunged it. */
  mayBeGone: boolean;
  /** What was noted of it last, with the time. */
  readonly story: string[];
}

const keptEvents = 12;

/** One write of flags to one message; see MailboxLedger.write. */
export interface FlagWrite {
  readonly facts: MessageFacts;
  readonly values: ReadonlyMap<string, boolean>;
  readonly start: number;
}

export class Clock {
  #now = 0;
  tick(): number {
    this.#now += 1;
    return this.#now;
  }
}

export class MailboxLedger {
  readonly name: string;
  readonly clock: Clock;
  uidValidity: number | undefined;
  readonly messages = new Map<number, MessageFacts>();
  /** The highest UIDNEXT told by a finished command: later messages have it or more. */
  uidNext = 1;
  /** The highest modseq told by a finished command: a later SELECT says no less. */
  highestModSeq = 0;
  readonly fail: (reason: string) => never;

  constructor(name: string, clock: Clock, fail: (reason: string) => never) {
    this.name = name;
    this.clock = clock;
    this.fail = fail;
  }

  facts(uid: number): MessageFacts {
    let facts = this.messages.get(uid);
    if (facts === undefined) {
      facts = {
        uid,
        token: undefined,
        fixed: new Map(),
        flags: new Map(),
        flagsAt: new Map(),
        highestModSeq: 0,
        isAcknowledged: false,
        goneSince: undefined,
        whyGone: undefined,
        mayBeGone: false,
        story: [],
      };
      this.messages.set(uid, facts);
    }
    return facts;
  }

  #tell(facts: MessageFacts, event: string): void {
    facts.story.push(event);
    if (facts.story.length > keptEvents) facts.story.shift();
  }

  /** All that is known of a message, for the report of a failure. Undefined when nothing is. */
  storyOf(uid: number): string | undefined {
    const facts = this.messages.get(uid);
    if (facts === undefined) return undefined;
    const { token, isAcknowledged, mayBeGone, goneSince, whyGone, story } = facts;
    const state = [
      token ?? 'of unknown text',
      isAcknowledged ? 'acknowledged' : 'not acknowledged',
      ...(mayBeGone ? ['may be gone'] : []),
      ...(goneSince === undefined ? [] : [`gone since ${goneSince} (${whyGone})`]),
    ];
    return `${this.name} UID ${uid} at ${this.clock.tick()}: ${[state.join(', '), ...story].join('; ')}`;
  }

  noteUidValidity(value: number): void {
    if (this.uidValidity !== undefined && this.uidValidity !== value)
      this.fail(`UIDVALIDITY of ${this.name} was ${this.uidValidity}, is ${value}`);
    this.uidValidity = value;
  }

  noteToken(uid: number, token: string): void {
    const facts = this.facts(uid);
    if (facts.token !== undefined && facts.token !== token) this.fail(`${this.name} UID ${uid} was ${facts.token}, is ${token}`);
    facts.token = token;
  }

  noteFixed(uid: number, name: string, value: string): void {
    const { fixed } = this.facts(uid);
    const earlier = fixed.get(name);
    if (earlier !== undefined && earlier !== value) this.fail(`${this.name} ${name} of UID ${uid} was ${earlier}, is ${value}`);
    fixed.set(name, value);
  }

  noteModSeq(uid: number, modSeq: number, flags: string | undefined): void {
    const facts = this.facts(uid);
    facts.highestModSeq = Math.max(facts.highestModSeq, modSeq);
    if (flags === undefined) return;
    const earlier = facts.flagsAt.get(modSeq);
    if (earlier !== undefined && earlier !== flags)
      this.fail(`${this.name} UID ${uid} at modseq ${modSeq} had flags (${earlier}), now (${flags})`);
    facts.flagsAt.set(modSeq, flags);
  }

  noteGone(uid: number, why: string): void {
    const facts = this.facts(uid);
    // Before its saving was acknowledged, nothing is known about who may have marked and expunged it.
    if (facts.isAcknowledged && !facts.mayBeGone) this.fail(`${this.name} UID ${uid} is gone and nobody can have expunged it (${why})`);
    if (facts.goneSince !== undefined) return;
    facts.goneSince = this.clock.tick();
    facts.whyGone = why;
  }

  /** Before its saving was acknowledged, nothing is known about who may have marked and expunged it. */
  mayBeGone(uid: number): boolean {
    const facts = this.facts(uid);
    return facts.mayBeGone || !facts.isAcknowledged;
  }

  /** A new message, saved between two moments. `flags` undefined: any. @param floor UIDNEXT known when the command began */
  noteSaved(
    uid: number,
    token: string | undefined,
    flags: ReadonlyMap<string, boolean | undefined>,
    times: readonly [number, number],
    floor: number,
  ): void {
    if (uid < floor) this.fail(`${this.name}: new UID ${uid} although UIDNEXT was ${floor} before`);
    const facts = this.facts(uid);
    if (facts.isAcknowledged) this.fail(`${this.name}: UID ${uid} was given out twice`);
    facts.isAcknowledged = true;
    this.#tell(facts, `saved ${times.join('..')} with ${valuesText(flags)}`);
    if (token !== undefined) this.noteToken(uid, token);
    for (const flag of allFlags) {
      const value = flags.get(flag);
      const state = this.#times(facts, flag);
      if (value !== false) state.setEnd = Math.max(state.setEnd, times[1]);
      if (value !== true) state.clearEnd = Math.max(state.clearEnd, times[1]);
      if (value === true) state.setStart = Math.max(state.setStart, times[0]);
      if (value === false) state.clearStart = Math.max(state.clearStart, times[0]);
    }
    if (flags.get('\\Deleted') !== false) facts.mayBeGone ||= this.#expunging.size > 0 || this.#expungeEnd > times[0];
    if (facts.goneSince !== undefined || this.#wasRemoved(facts.token, times[0])) facts.mayBeGone = true;
  }

  /** Messages that another program put into the mailbox: nobody is told their UIDs. */
  readonly delivered = new Set<string>();
  /** When another program last removed a file with the message of a token. */
  readonly #removed = new Map<string, number>();

  /** Another program is about to remove a file with this message: any message of that text may go. */
  noteRemoval(token: string): void {
    this.#removed.set(token, this.clock.tick());
    for (const facts of this.messages.values()) if (facts.token === token || facts.token === undefined) facts.mayBeGone = true;
  }

  /** Since a moment. @param token undefined where it is not known yet */
  #wasRemoved(token: string | undefined, since: number): boolean {
    if (token !== undefined) return (this.#removed.get(token) ?? -1) > since;
    return [...this.#removed.values()].some((time) => time > since);
  }

  #times(facts: MessageFacts, flag: string): FlagTimes {
    let times = facts.flags.get(flag);
    if (times === undefined) {
      times = { setEnd: -1, clearEnd: -1, setStart: -1, clearStart: -1 };
      facts.flags.set(flag, times);
    }
    return times;
  }

  #expungeEnd = -1;
  readonly #pending = new Set<FlagWrite>();
  readonly #expunging = new Set<number>();

  /** A command that sets or clears flags of a message begins. */
  beginWrite(uid: number, values: ReadonlyMap<string, boolean>): FlagWrite {
    const write: FlagWrite = { facts: this.facts(uid), values, start: this.clock.tick() };
    this.#pending.add(write);
    for (const [flag, value] of values) {
      const times = this.#times(write.facts, flag);
      if (value) times.setEnd = Number.POSITIVE_INFINITY;
      else times.clearEnd = Number.POSITIVE_INFINITY;
    }
    if (values.get('\\Deleted') === true && this.#expunging.size > 0) write.facts.mayBeGone = true;
    return write;
  }

  /** It ended. @param happened `no`: certainly not written; `maybe`: no promise, for example because the message is gone */
  endWrite(write: FlagWrite, happened: 'yes' | 'maybe' | 'no'): void {
    this.#pending.delete(write);
    const now = this.clock.tick();
    this.#tell(write.facts, `written ${write.start}..${now} (${happened}) ${valuesText(write.values)}`);
    for (const [flag, value] of write.values) {
      const times = this.#times(write.facts, flag);
      const stillPending = [...this.#pending].some((other) => other.facts === write.facts && other.values.get(flag) === value);
      // An unwritten value still counts as possible until now: that is lenient, never wrong.
      if (value) {
        times.setEnd = stillPending ? Number.POSITIVE_INFINITY : now;
        if (happened === 'yes') times.setStart = Math.max(times.setStart, write.start);
      } else {
        times.clearEnd = stillPending ? Number.POSITIVE_INFINITY : now;
        if (happened === 'yes') times.clearStart = Math.max(times.clearStart, write.start);
      }
    }
  }

  /** EXPUNGE or CLOSE begins: it may take everything that may carry \Deleted until it ends. `uids` limits it (UID EXPUNGE, MOVE). */
  beginExpunge(kind: 'deleted' | 'move', uids: readonly number[] | undefined): () => void {
    const start = this.clock.tick();
    if (kind === 'deleted') this.#expunging.add(start);
    const candidates = uids === undefined ? [...this.messages.values()] : uids.map((uid) => this.facts(uid));
    for (const facts of candidates) if (kind === 'move' || this.canBe(facts, '\\Deleted', true)) facts.mayBeGone = true;
    return () => {
      this.#expunging.delete(start);
      if (kind === 'deleted') this.#expungeEnd = this.clock.tick();
    };
  }

  canBe(facts: MessageFacts, flag: string, value: boolean): boolean {
    const times = this.#times(facts, flag);
    // Of a message whose birth nobody has acknowledged yet nothing is known.
    if (!facts.isAcknowledged) return true;
    return value ? times.setEnd >= times.clearStart : times.clearEnd >= times.setStart;
  }

  /** Somebody may have given the flag this value between `since` and now. */
  wasWritten(facts: MessageFacts, flag: string, value: boolean, since: number): boolean {
    const times = this.#times(facts, flag);
    return !facts.isAcknowledged || (value ? times.setEnd : times.clearEnd) >= since;
  }

  /** undefined while it could be both. */
  certainFlag(facts: MessageFacts, flag: string): boolean | undefined {
    if ([...this.#pending].some((write) => write.facts === facts && write.values.has(flag))) return undefined;
    const set = this.canBe(facts, flag, true);
    const clear = this.canBe(facts, flag, false);
    if (set === clear) return undefined;
    return set;
  }
}

/** `+\Seen -kw1 ?kw2` */
function valuesText(values: ReadonlyMap<string, boolean | undefined>): string {
  return [...values].map(([flag, value]) => `${value === undefined ? '?' : value ? '+' : '-'}${flag}`).join(' ');
}
