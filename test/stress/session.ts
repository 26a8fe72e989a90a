// One client that runs random commands and checks every line it gets.
import type { LineClient } from '../support/line-client.js';
import { type Chosen, chooseMessages } from './choose-messages.js';
import { Exchanges } from './exchanges.js';
import { KeptResults } from './kept-results.js';
import { allFlags, type FlagWrite, type MailboxLedger } from './ledger.js';
import { type Profile, profileOf } from './profile.js';
import { readSet } from './reply.js';
import { ClientView, type CommandKind, type KnownMessage } from './view.js';

const between: CommandKind = { name: '', isUid: false };

export interface SessionOptions {
  readonly name: string;
  readonly random: (below: number) => number;
  readonly ledgers: readonly MailboxLedger[];
  /** Chooses its extensions. */
  readonly index: number;
  readonly user: string;
  /** The user whose mailboxes these are shares them; names begin with this, and INBOX is this. */
  readonly sharedAs: string | undefined;
  /** Of addresses of messages (RFC 4467). */
  readonly urlHost: string | undefined;
  /** Also what Roost promises beyond the standards: HIGHESTMODSEQ before CONDSTORE is enabled, a FETCH for each stored message. */
  readonly isStrict: boolean;
  /** Hears every line, both ways. */
  readonly trace: ((line: string) => void) | undefined;
  /** Of the steps, by name (steps.ts); all when undefined. */
  readonly only: ReadonlySet<string> | undefined;
  /** Ends the whole run. */
  readonly fail: (reason: string, session: StressSession) => never;
}

/** What a client keeps of a mailbox between two visits. */
interface Cached {
  readonly modSeq: number;
  readonly flags: Map<number, string>;
}

export class StressSession {
  readonly name: string;
  readonly exchanges = new Exchanges();
  /** Every command that writes, with its tagged reply and COPYUID: what a failure at the end has to be searched in. */
  readonly journal: string[] = [];
  commands = 0;
  view: ClientView | undefined;
  isReadOnly = false;
  readonly #client: LineClient;
  readonly options: SessionOptions;
  capabilities: ReadonlySet<string> = new Set();
  profile: Profile = profileOf(0, new Set());
  /** Search results that the server keeps up to date. */
  readonly kept: KeptResults;
  /** The last unsolicited STATUS of a mailbox that is not selected (RFC 5465), by its name. */
  readonly statusTold = new Map<string, string>();
  /** A mailbox of its own, and how many messages it has: see step-folders. */
  own: { name: string; count: number } | undefined;
  made = 0;
  readonly #cached = new Map<MailboxLedger, Cached>();
  /** HIGHESTMODSEQ that the client may keep: from SELECT and tagged replies. */
  #modSeq = 0;
  #lines: string[] = [];
  /** SELECT was sent: replies are about the old mailbox up to CLOSED. */
  #next: ClientView | undefined;

  constructor(client: LineClient, options: SessionOptions) {
    this.#client = client;
    this.options = options;
    this.name = options.name;
    this.kept = new KeptResults((reason) => this.fail(reason));
  }

  fail(reason: string): never {
    return this.options.fail(reason, this);
  }

  #hear(line: string): void {
    this.exchanges.hear(line);
    this.#note(`< ${line}`);
  }

  #note(line: string): void {
    this.options.trace?.(line);
    if (/^> (APPEND|COPY|MOVE|CLOSE|EXPUNGE|STORE|UID (?!FETCH))|COPYUID|APPENDUID|^< t\d+ NO|^< \* VANISHED/.test(line))
      this.journal.push(line.slice(0, 1_000));
  }

  /** Only UIDs are safe to use: numbers change at any time, or are not there at all. */
  get usesUids(): boolean {
    return this.profile.isUidOnly || this.profile.notify === 'SELECTED';
  }

  /** As this session's user names it. */
  nameOf({ name }: MailboxLedger): string {
    const { sharedAs } = this.options;
    if (sharedAs === undefined) return name;
    return name === 'INBOX' ? sharedAs : `${sharedAs}/${name}`;
  }

  /** Runs a command, checks everything untagged. @returns the tagged reply without its tag */
  async run(text: string, shown = text): Promise<string> {
    const [reply] = await this.runAll([text], shown);
    return reply ?? this.fail('no reply');
  }

  /** Sends commands without waiting in between; none may use sequence numbers. @returns the tagged replies in the order of the commands */
  async runAll(texts: readonly string[], shown = texts.join(' | ')): Promise<string[]> {
    if (this.profile.notify !== 'SELECTED')
      for (const line of this.#client.unread) if (/^\* (\d+ EXPUNGE|VANISHED)/.test(line)) this.fail(`${line} between commands`);
    this.#begin(shown, texts.length);
    const pending = new Map(texts.map((text) => [this.#client.send(text), text]));
    const tags = [...pending.keys()];
    this.lastTag = tags.at(-1) ?? '';
    const replies = new Map<string, string>();
    for (;;) {
      const line = await this.#client.line();
      if (line === undefined) this.fail(`connection closed in ${shown}`);
      this.#hear(line);
      const [tag = ''] = line.split(' ', 1);
      const text = pending.get(tag);
      if (text === undefined) {
        this.#untagged(line, kindOf([...pending.values()][0] ?? ''));
        continue;
      }
      pending.delete(tag);
      replies.set(tag, this.#tagged(line.slice(tag.length + 1), shown));
      if (pending.size === 0) return tags.map((sent) => replies.get(sent) ?? '');
    }
  }

  /** Of the command sent last. */
  lastTag = '';

  #begin(shown: string, count = 1): void {
    this.commands += count;
    this.#lines = [];
    this.view?.toldFlags.clear();
    if (this.view !== undefined) this.view.fetched = [];
    this.exchanges.begin(shown, this.view);
    this.#note(`> ${shown}`);
  }

  #tagged(reply: string, shown: string): string {
    if (!/^(OK|NO) /.test(reply)) this.fail(`${reply} to ${shown}`);
    const modSeq = /\[HIGHESTMODSEQ (\d+)\]/.exec(reply);
    if (modSeq !== null) this.#modSeq = Number(modSeq[1]);
    return reply;
  }

  #untagged(line: string, command: CommandKind): void {
    if (this.kept.accept(line)) return;
    this.#lines.push(line);
    if (line.startsWith('* OK [CLOSED]')) this.#closed();
    else if (line.startsWith('* STATUS ')) this.#noteStatus(line);
    const { view } = this;
    const byUid = /^\* (\d+) UIDFETCH (.*)$/s.exec(line);
    if (byUid !== null) {
      if (view === undefined) this.fail(`${line.slice(0, 60)} without a mailbox`);
      view.uidFetch(Number(byUid[1]), byUid[2] ?? '');
      return;
    }
    const numbered = /^\* (\d+) (EXISTS|EXPUNGE|RECENT|FETCH)(?: (.*))?$/s.exec(line);
    if (numbered !== null) {
      if (view === undefined) this.fail(`${line.slice(0, 60)} without a mailbox`);
      const value = Number(numbered[1]);
      if (numbered[2] === 'EXISTS') view.exists(value);
      else if (numbered[2] === 'EXPUNGE') view.expunge(value, command);
      else if (numbered[2] === 'FETCH') view.fetch(value, numbered[3] ?? '');
      else if (value > view.messages.length) this.fail(`RECENT ${value} of ${view.messages.length}`);
      return;
    }
    if (line.startsWith('* VANISHED ')) {
      if (view === undefined) this.fail(`${line.slice(0, 60)} without a mailbox`);
      view.vanished(line.slice(11), command);
    } else if (line.startsWith('* BYE')) this.fail(line);
    else if (!line.startsWith('* ')) this.fail(`unexpected ${line.slice(0, 80)}`);
  }

  #noteStatus(line: string): void {
    const name = /^\* STATUS "?([^ "]+)/.exec(line)?.[1] ?? '';
    const next = /UIDNEXT (\d+)/.exec(line)?.[1];
    const earlier = /UIDNEXT (\d+)/.exec(this.statusTold.get(name) ?? '')?.[1];
    if (earlier !== undefined && next !== undefined && Number(next) < Number(earlier)) this.fail(`${line}: UIDNEXT was ${earlier}`);
    if (next !== undefined) this.statusTold.set(name, line);
  }

  #closed(): void {
    if (this.#next === undefined) return;
    this.keepCache();
    this.view = this.#next;
    this.#next = undefined;
    // What came until here was about the mailbox that is closed.
    this.#lines = [];
  }

  async start(): Promise<void> {
    await this.run('CAPABILITY');
    this.capabilities = new Set(this.line('* CAPABILITY ').slice(13).split(' '));
    this.profile = profileOf(this.options.index, this.capabilities);
    const { isQresync, isUidOnly, notify, compresses } = this.profile;
    if (compresses) {
      await this.run('COMPRESS DEFLATE');
      this.#client.compress();
    }
    if (isQresync) await this.run('ENABLE QRESYNC');
    // Who is told at once may be told before the command that would turn it on begins.
    else if (this.options.random(2) === 0 || notify !== undefined) await this.run('ENABLE CONDSTORE');
    if (isUidOnly) await this.run('ENABLE UIDONLY');
    if (notify !== undefined) await this.notify();
  }

  async notify(): Promise<void> {
    const events = 'MessageNew MessageExpunge FlagChange';
    const selected = this.any([events, events.replace('MessageNew', 'MessageNew (UID FLAGS MODSEQ)')]);
    const reply = await this.run(`NOTIFY SET STATUS (${this.profile.notify} (${selected})) (personal (${events}))`);
    if (!reply.startsWith('OK')) this.fail(`NOTIFY: ${reply}`);
  }

  any<T>(list: readonly T[]): T {
    const item = list[this.options.random(list.length)];
    if (item === undefined) throw new Error('nothing to choose from');
    return item;
  }

  async select(ledger = this.any(this.options.ledgers), readOnly = this.options.random(8) === 0): Promise<void> {
    const { isQresync, isUidOnly, notify } = this.profile;
    const view = new ClientView(ledger, { isQresync, isUidOnly, shrinksAnytime: notify === 'SELECTED' }, (reason) => this.fail(reason));
    // News of the old mailbox may still be on the way to a client that asked for them.
    if (notify !== undefined && this.view !== undefined) this.#next = view;
    else {
      this.keepCache();
      this.view = view;
    }
    this.kept.clear();
    this.statusTold.delete(ledger.name);
    const cached = this.#cached.get(ledger);
    const useCache = isQresync && cached !== undefined && ledger.uidValidity !== undefined;
    const known = useCache ? this.#knownUids(cached) : '';
    const [uidNext, modSeq] = [ledger.uidNext, ledger.highestModSeq];
    this.isReadOnly = readOnly;
    const verb = readOnly ? 'EXAMINE' : 'SELECT';
    // The rules of SELECT hold for both.
    const reply = await this.run(
      `${verb} ${this.nameOf(ledger)}${useCache ? ` (QRESYNC (${ledger.uidValidity} ${cached.modSeq}${known}))` : ''}`,
    );
    if (this.#next !== undefined) this.fail(`${verb} without CLOSED (RFC 7162 3.2.11)`);
    this.statusTold.delete(ledger.name);
    if (!reply.startsWith('OK')) this.fail(`${verb}: ${reply}`);
    const code = (name: string): number =>
      Number(new RegExp(`^\\* OK \\[${name} (\\d+)\\]`).exec(this.line(`* OK [${name} `))?.[1] ?? this.fail(`no ${name}`));
    ledger.noteUidValidity(code('UIDVALIDITY'));
    const next = code('UIDNEXT');
    if (next < uidNext) this.fail(`UIDNEXT ${next} although it was ${uidNext}`);
    const isTold = this.options.isStrict || this.#lines.some((line) => line.includes('[HIGHESTMODSEQ '));
    const highest = isTold ? code('HIGHESTMODSEQ') : modSeq;
    if (highest < modSeq) this.fail(`HIGHESTMODSEQ ${highest} although ${modSeq} was told`);
    this.noteHighest(ledger, next, highest);
    this.#modSeq = highest;
    if (useCache) await this.#checkResync(cached, highest, known !== '');
  }

  /** RFC 7162 3.2.5: with what it knows a client may help a server that has forgotten expunges. */
  #knownUids({ flags }: Cached): string {
    const uids = [...flags.keys()].filter((uid) => uid > 0);
    if (uids.length === 0 || this.options.random(2) === 0) return '';
    const places = [0, Math.floor(uids.length / 2), uids.length - 1].filter((place, at, all) => all.indexOf(place) === at);
    const matches = ` (${places.map((place) => place + 1).join(',')} ${places.map((place) => uids[place]).join(',')})`;
    return ` ${uids.join(',')}${this.profile.isUidOnly || this.options.random(2) === 0 ? '' : matches}`;
  }

  /** Untagged lines of the last command. */
  get lines(): readonly string[] {
    return this.#lines;
  }

  line(start: string): string {
    return this.#lines.find((line) => line.startsWith(start)) ?? this.fail(`no ${start}`);
  }

  noteHighest(ledger: MailboxLedger, uidNext: number, modSeq: number): void {
    ledger.uidNext = Math.max(ledger.uidNext, uidNext);
    ledger.highestModSeq = Math.max(ledger.highestModSeq, modSeq);
  }

  /** Keeps what a client knows at a moment when nothing is pending: all messages, with all flags. */
  keepCache(): void {
    const { view } = this;
    if (view === undefined) return;
    this.view = undefined;
    this.#cached.delete(view.ledger);
    const isComplete = view.messages.every((message) => message.uid > 0 && message.flags !== undefined);
    if (isComplete && this.#modSeq > 0) {
      const flags = new Map(view.messages.map(({ uid, flags }) => [uid, flags ?? '']));
      this.#cached.set(view.ledger, { modSeq: this.#modSeq, flags });
    }
  }

  /** RFC 7162 3.2.5: the cache, brought up to date by what SELECT told, is the mailbox. */
  async #checkResync(cached: Cached, highest: number, names: boolean): Promise<void> {
    const flags = new Map(cached.flags);
    for (const line of this.#lines) {
      const vanished = /^\* VANISHED \(EARLIER\) (.*)$/.exec(line);
      if (vanished !== null) for (const uid of readSet(vanished[1] ?? '')) flags.delete(uid);
    }
    for (const { message } of this.view?.fetched ?? []) flags.set(message.uid, message.flags ?? '');
    await this.run('UID FETCH 1:* (FLAGS MODSEQ)');
    for (const { message } of this.view?.fetched ?? []) {
      // Of messages that a client names nothing of, it is told nothing.
      if (message.modSeq > highest || (names && !cached.flags.has(message.uid))) continue;
      if (flags.get(message.uid) !== message.flags)
        this.fail(
          `after QRESYNC from ${cached.modSeq} the client has UID ${message.uid} (${flags.get(message.uid)}), the server (${message.flags})`,
        );
    }
    const present = new Set(this.view?.messages.map(({ uid }) => uid));
    const surplus = [...flags.keys()].filter((uid) => !present.has(uid) && !this.view?.gone.has(uid));
    if (surplus.length > 0) this.fail(`after QRESYNC from ${cached.modSeq} the client still has UID ${surplus.slice(0, 9).join(',')}`);
  }

  /** A random set, and the messages in it. @param onlyKnown see ChoiceOptions */
  some(view: ClientView, onlyKnown = false): Chosen {
    return chooseMessages(view, { random: this.options.random, usesUids: this.usesUids, onlyKnown });
  }

  /** A message whose UID the client knows. */
  anyKnown(view: ClientView): KnownMessage | undefined {
    const known = view.messages.filter(({ uid }) => uid > 0);
    return known.length === 0 ? undefined : this.any(known);
  }

  randomFlags(): string[] {
    return allFlags.filter((flag) => this.options.random(flag === '\\Deleted' ? 8 : 4) === 0);
  }

  beginWrites(view: ClientView, messages: readonly KnownMessage[], values: ReadonlyMap<string, boolean>): FlagWrite[] {
    return messages.filter(({ uid }) => uid > 0).map(({ uid }) => view.ledger.beginWrite(uid, values));
  }

  mayBeGone(view: ClientView, message: KnownMessage): boolean {
    return view.ledger.mayBeGone(message.uid);
  }

  /** All UIDs, unless something new came meanwhile. Of a limited session (RFC 9738) the latest, and more with each call. */
  async learnUids(view: ClientView): Promise<void> {
    const { messageLimit } = this.profile;
    for (let page = 0, last = 0; page < 50; page++) {
      const at = view.messages.findLastIndex(({ uid }) => uid === 0);
      if (at < 0) return;
      const next = messageLimit === undefined ? 0 : (view.messages[at + 1]?.uid ?? 0);
      // Those in between are gone, and this client is not told yet.
      if (page > 0 && next === last) return;
      last = next;
      const reply = await this.run(`UID FETCH ${next === 0 ? '1:*' : `1:${next - 1}`} (FLAGS MODSEQ)`);
      if (messageLimit === undefined || this.limitedTo(reply) <= 1) return;
    }
  }

  /** The lowest UID that the last command was about, by its response code (RFC 9738), wherever that is; 0 when it was about all. */
  limitedTo(reply: string): number {
    const code = [reply, ...this.#lines].map((line) => /\[MESSAGELIMIT (\d+)(?: (\d+))?\]/.exec(line)).find((match) => match !== null);
    if (code === undefined || code === null) return 0;
    if (Number(code[1]) !== this.profile.messageLimit) this.fail(`${code[0]}, announced was ${this.profile.messageLimit}`);
    return Number(code[2] ?? 0);
  }

  async status(): Promise<void> {
    const ledger = this.any(this.options.ledgers);
    const [uidNext, modSeq] = [ledger.uidNext, ledger.highestModSeq];
    await this.run(`STATUS ${this.nameOf(ledger)} (MESSAGES UNSEEN UIDNEXT UIDVALIDITY HIGHESTMODSEQ)`);
    const line =
      this.#lines.findLast((text) => text.startsWith('* STATUS ') && text.includes('UNSEEN') && text.includes('HIGHESTMODSEQ')) ??
      this.fail('no STATUS');
    const value = (name: string): number => Number(new RegExp(`${name} (\\d+)`).exec(line)?.[1] ?? this.fail(`STATUS without ${name}`));
    ledger.noteUidValidity(value('UIDVALIDITY'));
    if (value('UIDNEXT') < uidNext) this.fail(`STATUS UIDNEXT ${value('UIDNEXT')} although it was ${uidNext}`);
    if (value('HIGHESTMODSEQ') < modSeq) this.fail(`STATUS HIGHESTMODSEQ ${value('HIGHESTMODSEQ')} although ${modSeq} was told`);
    if (value('UNSEEN') > value('MESSAGES')) this.fail(line);
    this.noteHighest(ledger, value('UIDNEXT'), value('HIGHESTMODSEQ'));
  }

  async leave(): Promise<void> {
    const { view } = this;
    if (view === undefined) return;
    const closes = this.options.random(2) === 0;
    const end = closes && !this.isReadOnly ? view.ledger.beginExpunge('deleted', undefined) : () => undefined;
    // Nothing comes during these, but what a client has asked to be told at once.
    const hears = this.profile.notify !== undefined;
    if (!closes && !hears) this.keepCache();
    if (!hears) this.view = undefined;
    this.kept.clear();
    await this.run(closes ? 'CLOSE' : 'UNSELECT');
    if (!closes && hears) this.keepCache();
    this.view = undefined;
    end();
  }

  async idle(): Promise<void> {
    this.#begin('IDLE');
    const tag = this.#client.send('IDLE');
    let isDone = false;
    for (;;) {
      const line = await this.#client.line();
      if (line === undefined) this.fail('closed in IDLE');
      this.#hear(line);
      if (line.startsWith(`${tag} `)) return void this.#tagged(line.slice(tag.length + 1), 'IDLE');
      if (!line.startsWith('+')) this.#untagged(line, { name: 'IDLE', isUid: false });
      else if (!isDone) {
        isDone = true;
        setTimeout(() => this.#client.raw('DONE\r\n'), this.options.random(30));
      }
    }
  }

  /** Nothing arrived that no command asked for. */
  checkQuiet(): void {
    for (const line of this.#client.unread) this.#untagged(line, between);
  }
}

function kindOf(text: string): CommandKind {
  const words = text.split(' ');
  const isUid = words[0] === 'UID';
  return { name: words[isUid ? 1 : 0] ?? '', isUid };
}
