// What one client knows of its selected mailbox, and the rules for telling it more (RFC 9051 7.5.1, 2.3.1; RFC 7162).
import type { MailboxLedger } from './ledger.js';
import { normalFlags, readItems, readSet, type Value } from './reply.js';

export interface KnownMessage {
  /** 0 while the client was not told. */
  uid: number;
  /** undefined while the client was not told, or cannot know. */
  flags: string | undefined;
  modSeq: number;
}

/** The command that a reply came in, '' between commands. */
export interface CommandKind {
  readonly name: string;
  readonly isUid: boolean;
}

/** A parsed FETCH reply. */
export interface Fetched {
  readonly seq: number;
  readonly message: KnownMessage;
  readonly items: ReadonlyMap<string, Value>;
}

export interface ViewOptions {
  readonly isQresync: boolean;
  /** RFC 9586: no sequence numbers; where among the others a message without known UID stands means nothing. */
  readonly isUidOnly: boolean;
  /** RFC 5465 5.3, SELECTED: expunges come when they happen. */
  readonly shrinksAnytime: boolean;
}

/** What never changes while the message has its UID. */
const fixedItems = ['INTERNALDATE', 'SAVEDATE', 'EMAILID', 'THREADID', 'PREVIEW', 'RFC822.SIZE', 'ENVELOPE', 'BODYSTRUCTURE'];

const forbidsExpunge = new Set(['FETCH', 'STORE', 'SEARCH']);

export class ClientView {
  readonly ledger: MailboxLedger;
  readonly isQresync: boolean;
  readonly #options: ViewOptions;
  readonly #fail: (reason: string) => never;
  readonly messages: KnownMessage[] = [];
  hasExists = false;
  /** UIDs reported gone by VANISHED or EXPUNGE since SELECT. */
  readonly gone = new Set<number>();
  /** Cleared by the session before each command. */
  readonly toldFlags = new Set<KnownMessage>();
  fetched: Fetched[] = [];

  constructor(ledger: MailboxLedger, options: ViewOptions, fail: (reason: string) => never) {
    this.ledger = ledger;
    this.isQresync = options.isQresync;
    this.#options = options;
    this.#fail = fail;
  }

  exists(count: number): void {
    if (this.hasExists && count < this.messages.length) this.#fail(`EXISTS ${count} shrinks a mailbox of ${this.messages.length}`);
    this.hasExists = true;
    while (this.messages.length < count) this.messages.push({ uid: 0, flags: undefined, modSeq: 0 });
  }

  expunge(seq: number, command: CommandKind): void {
    this.#mayShrink(command);
    const [message] = this.messages.splice(seq - 1, 1);
    if (seq < 1 || message === undefined) this.#fail(`EXPUNGE ${seq} of ${this.messages.length}`);
    if (this.isQresync) this.#fail('EXPUNGE after ENABLE QRESYNC (RFC 7162 3.2.10)');
    if (this.#options.isUidOnly) this.#fail('EXPUNGE after ENABLE UIDONLY (RFC 9586 3.3)');
    if (message.uid > 0) this.#forget(message.uid, `EXPUNGE ${seq}`);
  }

  vanished(text: string, command: CommandKind): void {
    const earlier = /^\(EARLIER\) (.*)$/.exec(text);
    if (!this.isQresync && !this.#options.isUidOnly) this.#fail('VANISHED without ENABLE QRESYNC or UIDONLY');
    if (earlier === null) this.#mayShrink(command);
    else if (!['SELECT', 'EXAMINE', 'FETCH'].includes(command.name)) this.#fail(`VANISHED (EARLIER) in ${command.name}`);
    for (const uid of readSet(earlier?.[1] ?? text)) {
      if (earlier !== null) {
        if (this.messages.some((message) => message.uid === uid)) this.#fail(`VANISHED (EARLIER) ${uid} is in the mailbox`);
        continue;
      }
      // Messages the client has no UID of may be anywhere between those it knows: all of such a gap are alike.
      let at = this.messages.findIndex((message) => message.uid >= uid);
      if (at < 0) at = this.messages.length;
      if (this.messages[at]?.uid !== uid) at = this.#options.isUidOnly ? this.messages.findIndex((message) => message.uid === 0) : at - 1;
      const message = this.messages[at];
      if (message === undefined || (message.uid !== uid && message.uid !== 0)) this.#fail(`VANISHED ${uid} was not in the mailbox`);
      this.messages.splice(at, 1);
      this.#forget(uid, 'VANISHED');
    }
  }

  #mayShrink(command: CommandKind): void {
    if (this.#options.shrinksAnytime) return;
    if (command.name === '') this.#fail('an expunge was told while no command was in progress');
    if (forbidsExpunge.has(command.name) && !command.isUid) this.#fail(`an expunge was told during ${command.name}`);
  }

  #forget(uid: number, why: string): void {
    this.gone.add(uid);
    this.ledger.noteGone(uid, why);
  }

  fetch(seq: number, text: string): void {
    if (this.#options.isUidOnly) this.#fail('FETCH after ENABLE UIDONLY (RFC 9586 3.3)');
    const message = this.messages[seq - 1];
    if (message === undefined) this.#fail(`FETCH ${seq} of ${this.messages.length}`);
    const items = readItems(text);
    const uid = Number(items.get('UID') ?? 0);
    if (uid > 0) this.#learnUid(seq, message, uid);
    this.#learn(seq, message, items);
  }

  /** RFC 9586 3.3. */
  uidFetch(uid: number, text: string): void {
    if (!this.#options.isUidOnly) this.#fail('UIDFETCH without ENABLE UIDONLY');
    if (this.gone.has(uid)) this.#fail(`UID ${uid} is back`);
    const items = readItems(text);
    if (items.has('UID') && Number(items.get('UID')) !== uid) this.#fail(`UIDFETCH ${uid} of UID ${items.get('UID')}`);
    let message = this.messages.find((known) => known.uid === uid);
    if (message === undefined) {
      const free = this.messages.findIndex((known) => known.uid === 0);
      if (free < 0) this.#fail(`UIDFETCH ${uid}, which is not one of ${this.messages.length} messages`);
      [message] = this.messages.splice(free, 1);
      if (message === undefined) throw new Error('no message at a place that has one');
      message.uid = uid;
      const next = this.messages.findIndex((known) => known.uid > uid);
      this.messages.splice(next < 0 ? this.messages.length : next, 0, message);
    }
    this.#learn(uid, message, items);
  }

  #learn(seq: number, message: KnownMessage, items: ReadonlyMap<string, Value>): void {
    const modSeqs = items.get('MODSEQ');
    const modSeq = modSeqs === undefined ? 0 : Number(modSeqs[0]);
    if (modSeqs !== undefined && !(modSeq > 0)) this.#fail(`MODSEQ ${modSeqs} of message ${seq}`);
    if (modSeq > 0 && modSeq < message.modSeq) this.#fail(`modseq of message ${seq} goes from ${message.modSeq} to ${modSeq}`);
    if (modSeq > 0) message.modSeq = modSeq;
    const flags = items.get('FLAGS');
    if (flags !== undefined) {
      message.flags = normalFlags(flags);
      this.toldFlags.add(message);
    }
    if (message.uid > 0 && modSeq > 0) this.ledger.noteModSeq(message.uid, modSeq, flags === undefined ? undefined : message.flags);
    if (message.uid > 0) {
      for (const name of fixedItems) {
        const value = items.get(name);
        if (value !== undefined) this.ledger.noteFixed(message.uid, name, JSON.stringify(value));
      }
      const subject = items.get('ENVELOPE')?.[1];
      if (typeof subject === 'string') this.ledger.noteToken(message.uid, subject);
    }
    this.fetched.push({ seq, message, items });
  }

  #learnUid(seq: number, message: KnownMessage, uid: number): void {
    if (message.uid === uid) return;
    if (message.uid !== 0) this.#fail(`message ${seq} had UID ${message.uid}, now ${uid}`);
    for (let at = seq - 2; at >= 0; at--) {
      const other = this.messages[at]?.uid ?? 0;
      if (other === 0) continue;
      if (other >= uid) this.#fail(`UID ${uid} of message ${seq} is not above ${other} of message ${at + 1}`);
      break;
    }
    for (let at = seq; at < this.messages.length; at++) {
      const other = this.messages[at]?.uid ?? 0;
      if (other === 0) continue;
      if (other <= uid) this.#fail(`UID ${uid} of message ${seq} is not below ${other} of message ${at + 1}`);
      break;
    }
    if (this.gone.has(uid)) this.#fail(`UID ${uid} is back`);
    message.uid = uid;
  }
}
