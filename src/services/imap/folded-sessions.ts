// Sessions that idle, folded: of each there is a string and its socket, and what wakes it. The sessions of an account share the open account, those of a
// mailbox one watch, and all of them one timer.
import type { Duplex } from 'node:stream';
import type { UserFields } from '#auth/client.js';
import type { HandoffRequest } from '#ipc/peer.js';
import type { Logger } from '#log/logger.js';
import type { Mailbox } from '#storage/mailbox.js';
import type { MailUser } from '#storage/user.js';
import type { UserLease, UserPool } from '#storage/user-pool.js';
import { type FoldedText, packSession, unpackSession } from './folded-text.js';
import type { SessionState } from './session-state.js';

const keepAliveText = Buffer.from('* OK Still here\r\n', 'latin1');
/** The timer is for minutes: sessions that are due within this time are served together. */
const tickMs = 1_000;
const never = 0x3fffffff;

export interface FoldOrder {
  readonly stream: Duplex;
  readonly request: HandoffRequest;
  readonly state: SessionState;
  readonly fields: UserFields;
  readonly user: MailUser;
  readonly mailbox: Mailbox | undefined;
  /** Its client may be silent for so long, ms. */
  readonly idleTimeoutMs: number;
  /** Of `* OK Still here`, ms. */
  readonly keepAliveMs: number;
}

/** Who makes the session again. */
export interface FoldOwner {
  /** Once, and never from inside `fold`. */
  woken(): void;
}

/** An account that is open for folded sessions only. */
class FoldedAccount {
  readonly fields: UserFields;
  readonly lease: Promise<UserLease>;
  /** By mailbox; undefined for sessions that have none selected. */
  readonly places = new Map<Mailbox | undefined, FoldedPlace>();

  constructor(fields: UserFields, lease: Promise<UserLease>) {
    this.fields = fields;
    this.lease = lease;
  }
}

/** The sessions of one account that have one mailbox selected. */
class FoldedPlace {
  readonly user: MailUser;
  readonly account: FoldedAccount;
  readonly mailbox: Mailbox | undefined;
  readonly members = new Set<FoldedSession>();
  readonly #stopWatching: (() => void) | undefined;

  constructor(user: MailUser, account: FoldedAccount, mailbox: Mailbox | undefined) {
    this.user = user;
    this.account = account;
    this.mailbox = mailbox;
    this.#stopWatching = mailbox?.watch(() => this.#changed());
  }

  #changed(): void {
    for (const member of this.members) if (this.mailbox?.hasNewsSince(member.modSeq) === true) member.wake();
  }

  close(): void {
    this.#stopWatching?.();
  }
}

export class FoldedSessions {
  readonly #users: UserPool;
  readonly #log: Logger;
  readonly #accounts = new Map<MailUser, FoldedAccount>();
  readonly #never = new AbortController().signal;
  #timer: NodeJS.Timeout | undefined;
  #timerDueS = never;

  constructor(users: UserPool, log: Logger) {
    this.#users = users;
    this.#log = log;
  }

  /** Nothing else may read or write the stream until the owner is woken. The session has a lease of the account still. */
  fold(order: FoldOrder, owner: FoldOwner): FoldedSession {
    const place = this.#placeOf(order);
    const session = new FoldedSession(this, place, order, owner);
    place.members.add(session);
    this.#arm(session.dueS);
    return session;
  }

  #placeOf({ user, fields, mailbox }: FoldOrder): FoldedPlace {
    let account = this.#accounts.get(user);
    if (account === undefined) {
      account = new FoldedAccount(fields, this.#users.lease(fields, this.#never));
      account.lease.catch((error: unknown) => this.#log.error('imap.fold', `An open account cannot be kept: ${String(error)}`, { error }));
      this.#accounts.set(user, account);
    }
    let place = account.places.get(mailbox);
    if (place === undefined) {
      place = new FoldedPlace(user, account, mailbox);
      account.places.set(mailbox, place);
    }
    return place;
  }

  /** @param place one of its sessions is none any more */
  left(place: FoldedPlace): void {
    if (place.members.size > 0) return;
    const { user, account } = place;
    place.close();
    account.places.delete(place.mailbox);
    if (account.places.size > 0) return;
    this.#accounts.delete(user);
    account.lease
      .then((lease) => lease[Symbol.asyncDispose]())
      .catch((error: unknown) => this.#log.error('imap.fold', `Closing an account failed: ${String(error)}`, { error }));
  }

  #arm(dueS: number): void {
    if (dueS >= this.#timerDueS) return;
    clearTimeout(this.#timer);
    this.#timerDueS = dueS;
    this.#timer = setTimeout(() => this.#tick(), Math.max(tickMs, dueS * 1_000 - performance.now())).unref();
  }

  #tick(): void {
    this.#timerDueS = never;
    const nowS = performance.now() / 1_000;
    let nextS = never;
    for (const { places } of this.#accounts.values())
      for (const { members } of places.values())
        for (const member of members) {
          if (member.dueS <= nowS) member.tick(nowS);
          nextS = Math.min(nextS, member.dueS);
        }
    if (nextS < never) this.#arm(nextS);
  }

  close(): void {
    clearTimeout(this.#timer);
  }
}

/** Seconds on the clock of `performance.now`, so that they are small integers. */
function dueSecondsOf(epochMs: number): number {
  return Math.min(never, Math.ceil((performance.now() + Math.max(0, epochMs - Date.now())) / 1_000));
}

export class FoldedSession {
  readonly #sessions: FoldedSessions;
  readonly #place: FoldedPlace;
  readonly #stream: Duplex;
  readonly #owner: FoldOwner;
  readonly #text: string;
  readonly #heard = (): void => {
    this.#hasHeard = true;
    this.wake();
  };
  /** Everything up to here was told. */
  readonly modSeq: number;
  readonly #silentUntilS: number;
  readonly #keepAliveS: number;
  #keepAliveAtS: number;
  #keepAlives = 0;
  #isAwake = false;
  #hasHeard = false;

  constructor(sessions: FoldedSessions, place: FoldedPlace, order: FoldOrder, owner: FoldOwner) {
    const { stream, state, idleTimeoutMs, keepAliveMs } = order;
    this.#sessions = sessions;
    this.#place = place;
    this.#stream = stream;
    this.#owner = owner;
    this.#text = packSession(order);
    this.modSeq = state.selected?.view.highestModSeq ?? 0;
    this.#silentUntilS = dueSecondsOf(state.lastInputAtMs + idleTimeoutMs);
    this.#keepAliveS = Math.max(1, Math.round(keepAliveMs / 1_000));
    const { keepAliveAtMs = 0 } = state;
    this.#keepAliveAtS = keepAliveAtMs === 0 ? never : dueSecondsOf(keepAliveAtMs);
    stream.on('readable', this.#heard).on('close', this.#heard).on('error', this.#heard);
  }

  /** When `tick` is to be called. */
  get dueS(): number {
    return this.#isAwake ? never : Math.min(this.#keepAliveAtS, this.#silentUntilS);
  }

  tick(nowS: number): void {
    // Too long silent, or it does not read: the session itself knows what to do.
    if (this.#silentUntilS <= nowS || this.#stream.writableLength > 0) {
      this.wake();
      return;
    }
    this.#keepAliveAtS = Math.ceil(nowS) + this.#keepAliveS;
    this.#keepAlives += 1;
    this.#stream.write(keepAliveText);
  }

  wake(): void {
    if (this.#isAwake) return;
    this.#isAwake = true;
    queueMicrotask(() => this.#owner.woken());
  }

  get isAwake(): boolean {
    return this.#isAwake;
  }

  get fields(): UserFields {
    return this.#place.account.fields;
  }

  get mailbox(): Mailbox | undefined {
    return this.#place.mailbox;
  }

  /** Its client has gone and has said nothing before. */
  get isGone(): boolean {
    return this.#stream.destroyed || (this.#hasHeard && this.#stream.readableLength === 0);
  }

  /** As it is now. */
  unfold(): FoldedText {
    const { request, state } = unpackSession(this.#text);
    const keepAliveAtMs = this.#keepAliveAtS === never ? 0 : Date.now() + this.#keepAliveAtS * 1_000 - performance.now();
    const bytesWritten = state.bytesWritten + this.#keepAlives * keepAliveText.length;
    return { request, state: { ...state, keepAliveAtMs, bytesWritten } };
  }

  /** The stream is the session's again. */
  letGo(): void {
    this.#stream.off('readable', this.#heard).off('close', this.#heard).off('error', this.#heard);
  }

  /** The session holds the mailbox itself again, or does without. Idempotent. */
  leave(): void {
    if (this.#place.members.delete(this)) this.#sessions.left(this.#place);
  }
}
