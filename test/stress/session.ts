// One client that runs random commands and checks every line it gets.
import type { LineClient } from '../support/line-client.js';
import { checkSearch } from './check-search.js';
import { allFlags, type FlagWrite, type MailboxLedger } from './ledger.js';
import { messageOf, textOf } from './messages.js';
import { readSet } from './reply.js';
import { ClientView, type CommandKind, type KnownMessage } from './view.js';

const between: CommandKind = { name: '', isUid: false };

export interface SessionOptions {
  readonly name: string;
  readonly random: (below: number) => number;
  readonly ledgers: readonly MailboxLedger[];
  readonly isQresync: boolean;
  /** Also what Roost promises beyond the standards: HIGHESTMODSEQ before CONDSTORE is enabled, a FETCH for each stored message. */
  readonly isStrict: boolean;
  /** Ends the whole run. */
  readonly fail: (reason: string) => never;
}

/** What a client keeps of a mailbox between two visits. */
interface Cached {
  readonly modSeq: number;
  readonly flags: Map<number, string>;
}

export class StressSession {
  readonly name: string;
  /** The last lines. */
  readonly history: string[] = [];
  /** Every command that writes, with its tagged reply and COPYUID: what a failure at the end has to be searched in. */
  readonly journal: string[] = [];
  commands = 0;
  view: ClientView | undefined;
  isReadOnly = false;
  readonly #client: LineClient;
  readonly #options: SessionOptions;
  readonly #cached = new Map<MailboxLedger, Cached>();
  /** HIGHESTMODSEQ that the client may keep: from SELECT and tagged replies. */
  #modSeq = 0;
  #lines: string[] = [];
  #made = 0;

  constructor(client: LineClient, options: SessionOptions) {
    this.#client = client;
    this.#options = options;
    this.name = options.name;
  }

  fail(reason: string): never {
    return this.#options.fail(`${this.name}: ${reason}`);
  }

  #remember(line: string): void {
    this.history.push(line.length > 240 ? `${line.slice(0, 240)}...` : line);
    if (this.history.length > 80) this.history.splice(0, 40);
    if (/^> (APPEND|COPY|MOVE|CLOSE|EXPUNGE|STORE|UID (?!FETCH))|COPYUID|APPENDUID|^< t\d+ NO|^< \* VANISHED/.test(line))
      this.journal.push(this.history.at(-1) ?? '');
  }

  /** Runs a command, checks everything untagged. @returns the tagged reply without its tag */
  async run(text: string, shown = text): Promise<string> {
    const words = text.split(' ');
    const isUid = words[0] === 'UID';
    const command: CommandKind = { name: words[isUid ? 1 : 0] ?? '', isUid };
    for (const line of this.#client.unread) if (/^\* (\d+ EXPUNGE|VANISHED)/.test(line)) this.fail(`${line} between commands`);
    this.#begin(shown);
    const tag = this.#client.send(text);
    for (;;) {
      const line = await this.#client.line();
      if (line === undefined) this.fail(`connection closed in ${shown}`);
      this.#remember(`< ${line}`);
      if (line.startsWith(`${tag} `)) return this.#tagged(line.slice(tag.length + 1), shown);
      this.#untagged(line, command);
    }
  }

  #begin(shown: string): void {
    this.commands += 1;
    this.#lines = [];
    this.view?.toldFlags.clear();
    if (this.view !== undefined) this.view.fetched = [];
    this.#remember(`> ${shown}`);
  }

  #tagged(reply: string, shown: string): string {
    if (!/^(OK|NO) /.test(reply)) this.fail(`${reply} to ${shown}`);
    const modSeq = /\[HIGHESTMODSEQ (\d+)\]/.exec(reply);
    if (modSeq !== null) this.#modSeq = Number(modSeq[1]);
    return reply;
  }

  #untagged(line: string, command: CommandKind): void {
    this.#lines.push(line);
    const { view } = this;
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

  async start(): Promise<void> {
    if (this.#options.isQresync) await this.run('ENABLE QRESYNC');
    else if (this.#options.random(2) === 0) await this.run('ENABLE CONDSTORE');
  }

  #any<T>(list: readonly T[]): T {
    const item = list[this.#options.random(list.length)];
    if (item === undefined) throw new Error('nothing to choose from');
    return item;
  }

  async select(ledger = this.#any(this.#options.ledgers), readOnly = this.#options.random(8) === 0): Promise<void> {
    const { isQresync, fail } = this.#options;
    this.#keepCache();
    this.view = new ClientView(ledger, { isQresync }, (reason) => fail(`${this.name}: ${reason}`));
    const cached = this.#cached.get(ledger);
    const useCache = isQresync && cached !== undefined && ledger.uidValidity !== undefined;
    const [uidNext, modSeq] = [ledger.uidNext, ledger.highestModSeq];
    this.isReadOnly = readOnly;
    const verb = readOnly ? 'EXAMINE' : 'SELECT';
    // The rules of SELECT hold for both.
    const reply = await this.run(`${verb} ${ledger.name}${useCache ? ` (QRESYNC (${ledger.uidValidity} ${cached.modSeq}))` : ''}`);
    if (!reply.startsWith('OK')) this.fail(`${verb}: ${reply}`);
    const code = (name: string): number =>
      Number(new RegExp(`^\\* OK \\[${name} (\\d+)\\]`).exec(this.#line(`* OK [${name} `))?.[1] ?? this.fail(`no ${name}`));
    ledger.noteUidValidity(code('UIDVALIDITY'));
    const next = code('UIDNEXT');
    if (next < uidNext) this.fail(`UIDNEXT ${next} although it was ${uidNext}`);
    const isTold = this.#options.isStrict || this.#lines.some((line) => line.includes('[HIGHESTMODSEQ '));
    const highest = isTold ? code('HIGHESTMODSEQ') : modSeq;
    if (highest < modSeq) this.fail(`HIGHESTMODSEQ ${highest} although ${modSeq} was told`);
    this.#noteHighest(ledger, next, highest);
    this.#modSeq = highest;
    if (useCache) await this.#checkResync(cached, highest);
  }

  /** Untagged lines of the last command. */
  get lines(): readonly string[] {
    return this.#lines;
  }

  #line(start: string): string {
    return this.#lines.find((line) => line.startsWith(start)) ?? this.fail(`no ${start}`);
  }

  #noteHighest(ledger: MailboxLedger, uidNext: number, modSeq: number): void {
    ledger.uidNext = Math.max(ledger.uidNext, uidNext);
    ledger.highestModSeq = Math.max(ledger.highestModSeq, modSeq);
  }

  /** Keeps what a client knows at a moment when nothing is pending: all messages, with all flags. */
  #keepCache(): void {
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
  async #checkResync(cached: Cached, highest: number): Promise<void> {
    const flags = new Map(cached.flags);
    for (const line of this.#lines) {
      const vanished = /^\* VANISHED \(EARLIER\) (.*)$/.exec(line);
      if (vanished !== null) for (const uid of readSet(vanished[1] ?? '')) flags.delete(uid);
    }
    for (const { message } of this.view?.fetched ?? []) flags.set(message.uid, message.flags ?? '');
    await this.run('UID FETCH 1:* (FLAGS MODSEQ)');
    for (const { message } of this.view?.fetched ?? []) {
      if (message.modSeq > highest) continue;
      if (flags.get(message.uid) !== message.flags)
        this.fail(
          `after QRESYNC from ${cached.modSeq} the client has UID ${message.uid} (${flags.get(message.uid)}), the server (${message.flags})`,
        );
    }
    const present = new Set(this.view?.messages.map(({ uid }) => uid));
    const surplus = [...flags.keys()].filter((uid) => !present.has(uid) && !this.view?.gone.has(uid));
    if (surplus.length > 0) this.fail(`after QRESYNC from ${cached.modSeq} the client still has UID ${surplus.slice(0, 9).join(',')}`);
  }

  /** One random command. */
  async step(): Promise<void> {
    const { random } = this.#options;
    if (this.view === undefined) return this.select();
    const choice = random(100);
    if (choice < 12 || this.view.messages.length === 0) return this.#append();
    if (choice < 30) return this.#fetchFlags();
    if (choice < 38) return this.#fetchText();
    if (choice < 42) return this.#fetchChanged();
    if (choice < 60) return this.#store();
    if (choice < 67) return checkSearch(this, this.view, random);
    if (choice < 75) return this.#expunge();
    if (choice < 83) return this.#copy(choice < 80 ? 'COPY' : 'MOVE');
    if (choice < 88) return void (await this.run('NOOP'));
    if (choice < 91) return this.idle();
    if (choice < 94) return this.#status();
    if (choice < 96) return this.#leave();
    if (choice < 98) return this.select();
    await this.run('UID FETCH 1:* (FLAGS MODSEQ)');
  }

  /** A random set in one of the two numberings, and the messages in it. */
  #some(view: ClientView, onlyKnown = false): { readonly uid: string; readonly set: string; readonly messages: readonly KnownMessage[] } {
    const { random } = this.#options;
    const known = view.messages.filter(({ uid }) => uid > 0);
    if (known.length > 0 && random(2) === 0) {
      const first = this.#any(known).uid;
      const last = first + random(6);
      // The client may not have been told all UIDs of the range: name those it knows.
      const messages = known.filter(({ uid }) => uid >= first && uid <= last);
      return { uid: 'UID ', set: messages.map(({ uid }) => uid).join(','), messages };
    }
    // Numbers of messages that were announced and not fetched yet are used by reading commands only.
    const unknown = view.messages.findIndex(({ uid }) => uid === 0);
    const count = unknown > 0 && (onlyKnown || random(4) > 0) ? unknown : view.messages.length;
    const first = 1 + random(count);
    const last = Math.min(count, first + random(random(12) === 0 ? 60 : 5));
    return { uid: '', set: `${first}:${last}`, messages: view.messages.slice(first - 1, last) };
  }

  #flags(): string[] {
    return allFlags.filter((flag) => this.#options.random(flag === '\\Deleted' ? 8 : 4) === 0);
  }

  async #append(): Promise<void> {
    const { random, ledgers } = this.#options;
    const ledger = this.#any(ledgers);
    const count = random(6) === 0 ? 2 + random(3) : 1;
    const all = Array.from({ length: count }, () => {
      this.#made += 1;
      const token = `${this.name}-${this.#made}`;
      return { token, text: messageOf(token), flags: this.#flags() };
    });
    const floor = ledger.uidNext;
    const start = ledger.clock.tick();
    const parts = all.map(({ text, flags }) => ` (${flags.join(' ')}) {${text.length}+}\r\n${text}`).join('');
    const reply = await this.run(
      `APPEND ${ledger.name}${parts}`,
      `APPEND ${ledger.name} ${all.map(({ token, flags }) => `${token} (${flags.join(' ')})`).join(', ')}`,
    );
    const end = ledger.clock.tick();
    const code = /^OK \[APPENDUID (\d+) ([\d:,]+)\]/.exec(reply);
    if (code === null) this.fail(`APPEND: ${reply}`);
    ledger.noteUidValidity(Number(code[1]));
    const uids = readSet(code[2] ?? '');
    if (uids.length !== count) this.fail(`APPENDUID names ${uids.length} of ${count} messages`);
    uids.forEach((uid, index) => {
      const flags = new Set(all[index]?.flags);
      const values = new Map(allFlags.map((flag) => [flag, flags.has(flag)]));
      ledger.noteSaved(uid, all[index]?.token, values, [start, end], floor);
    });
    this.#noteHighest(ledger, Math.max(...uids) + 1, 0);
  }

  async #fetchFlags(): Promise<void> {
    if (this.view === undefined) return;
    const { uid, set } = this.#some(this.view);
    const items = this.#any(['(UID FLAGS)', '(UID FLAGS MODSEQ)', '(FLAGS)', '(UID INTERNALDATE FLAGS)', '(UID ENVELOPE)']);
    await this.run(`${uid}FETCH ${set} ${items}`);
  }

  async #fetchText(): Promise<void> {
    const { view } = this;
    if (view === undefined) return;
    await this.#learnUids(view);
    if (!view.messages.some(({ uid }) => uid > 0)) return;
    const { uid, set, messages } = this.#some(view, true);
    const part = this.#any([
      'RFC822.SIZE BODY.PEEK[HEADER]',
      'BODY.PEEK[]',
      'BODY.PEEK[HEADER.FIELDS (SUBJECT)]',
      'BODY[TEXT]',
      'BODY.PEEK[TEXT]',
      'RFC822.SIZE',
    ]);
    const marksSeen = part === 'BODY[TEXT]' && !this.isReadOnly;
    const writes = marksSeen ? this.#beginWrites(view, messages, new Map([['\\Seen', true]])) : [];
    await this.run(
      `${uid}FETCH ${set} (UID ${part} BODY.PEEK[HEADER.FIELDS (SUBJECT)]<0.60>)`.replace(
        part.startsWith('BODY.PEEK[HEADER.F') ? ' BODY.PEEK[HEADER.FIELDS (SUBJECT)]<0.60>' : '\0',
        '',
      ),
    );
    const told = new Set(view.fetched.filter(({ items }) => items.has('BODY[TEXT]')).map(({ message }) => message.uid));
    for (const write of writes) view.ledger.endWrite(write, told.has(write.facts.uid) ? 'yes' : 'maybe');
    for (const { message, items } of view.fetched) {
      const subject = [...items].find(([name]) => name.startsWith('BODY[HEADER.FIELDS'))?.[1] ?? items.get('BODY[HEADER]');
      const token = /^Subject: (\S+)\r\n/m.exec(String(subject ?? ''))?.[1];
      if (token !== undefined && message.uid > 0) view.ledger.noteToken(message.uid, token);
      const known = message.uid > 0 ? view.ledger.facts(message.uid).token : undefined;
      if (known !== undefined) this.#checkText(message.uid, messageOf(known), items);
    }
  }

  #checkText(uid: number, text: string, items: ReadonlyMap<string, unknown>): void {
    const head = text.slice(0, text.indexOf('\r\n\r\n') + 4);
    for (const [name, expected] of [
      ['BODY[]', text],
      ['BODY[TEXT]', textOf(text)],
      ['BODY[HEADER]', head],
      ['RFC822.SIZE', String(text.length)],
    ] as const) {
      const value = items.get(name);
      if (value !== undefined && value !== expected)
        this.fail(`${name} of UID ${uid} is not what was saved: ${String(value).slice(0, 200)}`);
    }
  }

  #beginWrites(view: ClientView, messages: readonly KnownMessage[], values: ReadonlyMap<string, boolean>): FlagWrite[] {
    return messages.filter(({ uid }) => uid > 0).map(({ uid }) => view.ledger.beginWrite(uid, values));
  }

  async #fetchChanged(): Promise<void> {
    const { view } = this;
    if (view === undefined) return;
    const floor = Math.max(1, this.#any(view.messages).modSeq - this.#options.random(3));
    const expected = view.messages.filter(({ modSeq }) => modSeq > floor);
    const vanished = this.#options.isQresync && this.#options.random(2) === 0 ? ' VANISHED' : '';
    const reply = await this.run(`UID FETCH 1:* (UID FLAGS) (CHANGEDSINCE ${floor}${vanished})`);
    const told = new Set(view.fetched.map(({ message }) => message));
    for (const { message, items } of view.fetched)
      if (!items.has('MODSEQ')) this.fail(`FETCH CHANGEDSINCE of UID ${message.uid} without MODSEQ`);
    if (reply.startsWith('OK'))
      for (const message of expected)
        if (view.messages.includes(message) && !told.has(message))
          this.fail(`CHANGEDSINCE ${floor} leaves out modseq ${message.modSeq} (UID ${message.uid})`);
  }

  async #store(): Promise<void> {
    const { view } = this;
    if (view === undefined || this.isReadOnly) return void (await this.run('NOOP'));
    // What is written without knowing the UID cannot be accounted for.
    await this.#learnUids(view);
    if (!view.messages.some(({ uid }) => uid > 0)) return;
    const { random } = this.#options;
    const { uid, set, messages } = this.#some(view, true);
    const sign = this.#any(['+', '-', '']);
    const flags = this.#flags();
    const silent = random(2) === 0 ? '.SILENT' : '';
    const since = random(4) === 0 ? Math.max(1, this.#any(messages).modSeq) : undefined;
    const values = new Map(
      allFlags.filter((flag) => sign === '' || flags.includes(flag)).map((flag) => [flag, sign !== '-' && flags.includes(flag)]),
    );
    const tooNew = since === undefined ? [] : messages.filter(({ uid: known }) => view.ledger.facts(known).highestModSeq > since);
    const writes = this.#beginWrites(view, messages, values);
    const before = new Map(messages.map((message) => [message, message.flags]));
    const reply = await this.run(
      `${uid}STORE ${set} ${since === undefined ? '' : `(UNCHANGEDSINCE ${since}) `}${sign}FLAGS${silent} (${flags.join(' ')})`,
    );
    const modified = new Set(readModified(reply, uid !== '', view));
    for (const message of tooNew)
      if (reply.startsWith('OK') && !modified.has(message.uid) && view.messages.includes(message) && !this.#mayBeGone(view, message))
        this.fail(`STORE UNCHANGEDSINCE ${since} took UID ${message.uid}, which had a later modseq`);
    for (const write of writes) {
      const isGone = write.facts.mayBeGone || modified.has(write.facts.uid) || !reply.startsWith('OK');
      view.ledger.endWrite(write, modified.has(write.facts.uid) ? 'no' : isGone ? 'maybe' : 'yes');
    }
    for (const [message, earlier] of before) {
      if (view.toldFlags.has(message) || modified.has(message.uid)) continue;
      // Without a reply a client takes its own change as done.
      message.flags =
        reply.startsWith('OK') && earlier !== undefined && !this.#mayBeGone(view, message) ? changed(earlier, values) : undefined;
      if (
        this.#options.isStrict &&
        silent === '' &&
        reply.startsWith('OK') &&
        !this.#mayBeGone(view, message) &&
        view.messages.includes(message)
      )
        this.fail(`STORE without FETCH for UID ${message.uid}`);
    }
  }

  #mayBeGone(view: ClientView, message: KnownMessage): boolean {
    return view.ledger.facts(message.uid).mayBeGone;
  }

  async #learnUids(view: ClientView): Promise<void> {
    if (view.messages.some(({ uid }) => uid === 0)) await this.run('UID FETCH 1:* (FLAGS MODSEQ)');
  }

  async #expunge(): Promise<void> {
    const { view } = this;
    if (view === undefined || this.isReadOnly) return void (await this.run('NOOP'));
    const some = this.#options.random(3) === 0 ? this.#some(view) : undefined;
    const uids = some?.uid === 'UID ' ? some.messages.map(({ uid }) => uid) : undefined;
    const due = view.messages.filter(
      (message) =>
        message.uid > 0 &&
        (uids === undefined || uids.includes(message.uid)) &&
        message.flags?.includes('\\Deleted') === true &&
        view.ledger.certainFlag(view.ledger.facts(message.uid), '\\Deleted') === true,
    );
    const end = view.ledger.beginExpunge('deleted', uids);
    const reply = await this.run(uids === undefined ? 'EXPUNGE' : `UID EXPUNGE ${some?.set}`);
    if (!reply.startsWith('OK')) this.fail(`EXPUNGE: ${reply}`);
    for (const message of due)
      if (view.messages.includes(message) && view.ledger.certainFlag(view.ledger.facts(message.uid), '\\Deleted') === true)
        this.fail(`EXPUNGE left UID ${message.uid}`);
    end();
  }

  async #copy(verb: 'COPY' | 'MOVE'): Promise<void> {
    const { view } = this;
    if (view === undefined || (verb === 'MOVE' && this.isReadOnly)) return;
    await this.#learnUids(view);
    if (!view.messages.some(({ uid }) => uid > 0)) return;
    const { uid, set, messages } = this.#some(view, true);
    const target = this.#any(this.#options.ledgers);
    const floor = target.uidNext;
    const certain = (message: KnownMessage): Map<string, boolean | undefined> =>
      new Map(allFlags.map((flag) => [flag, view.ledger.certainFlag(view.ledger.facts(message.uid), flag)]));
    const before = new Map(messages.map((message) => [message.uid, certain(message)]));
    const start = target.clock.tick();
    const end =
      verb === 'MOVE'
        ? view.ledger.beginExpunge(
            'move',
            messages.map((message) => message.uid),
          )
        : () => undefined;
    const reply = await this.run(`${uid}${verb} ${set} ${target.name}`);
    end();
    const finish = target.clock.tick();
    const code = /\[COPYUID (\d+) ([\d:,]+) ([\d:,]+)\]/.exec(
      verb === 'MOVE' ? (this.#lines.find((line) => line.includes('[COPYUID')) ?? '') : reply,
    );
    if (code === null) {
      if (reply.startsWith('OK') && messages.some((message) => !this.#mayBeGone(view, message)))
        this.fail(`${verb} without COPYUID: ${reply}`);
      return;
    }
    target.noteUidValidity(Number(code[1]));
    const [from, to] = [readSet(code[2] ?? ''), readSet(code[3] ?? '')];
    if (from.length !== to.length) this.fail(`COPYUID of ${from.length} and ${to.length} messages`);
    from.forEach((source, index) => {
      const known = before.get(source);
      if (known === undefined) this.fail(`COPYUID names UID ${source}, which was not asked for`);
      const after = certain({ uid: source, flags: undefined, modSeq: 0 });
      const flags = new Map(allFlags.map((flag) => [flag, known.get(flag) === after.get(flag) ? known.get(flag) : undefined]));
      target.noteSaved(to[index] ?? 0, view.ledger.facts(source).token, flags, [start, finish], floor);
      if (verb === 'MOVE') view.ledger.noteGone(source, 'MOVE');
    });
    for (const message of messages)
      if (!from.includes(message.uid) && !this.#mayBeGone(view, message)) this.fail(`${verb} left out UID ${message.uid}`);
    this.#noteHighest(target, Math.max(...to) + 1, 0);
  }

  async #status(): Promise<void> {
    const ledger = this.#any(this.#options.ledgers);
    const [uidNext, modSeq] = [ledger.uidNext, ledger.highestModSeq];
    await this.run(`STATUS ${ledger.name} (MESSAGES UNSEEN UIDNEXT UIDVALIDITY HIGHESTMODSEQ)`);
    const line = this.#line('* STATUS ');
    const value = (name: string): number => Number(new RegExp(`${name} (\\d+)`).exec(line)?.[1] ?? this.fail(`STATUS without ${name}`));
    ledger.noteUidValidity(value('UIDVALIDITY'));
    if (value('UIDNEXT') < uidNext) this.fail(`STATUS UIDNEXT ${value('UIDNEXT')} although it was ${uidNext}`);
    if (value('HIGHESTMODSEQ') < modSeq) this.fail(`STATUS HIGHESTMODSEQ ${value('HIGHESTMODSEQ')} although ${modSeq} was told`);
    if (value('UNSEEN') > value('MESSAGES')) this.fail(line);
    this.#noteHighest(ledger, value('UIDNEXT'), value('HIGHESTMODSEQ'));
  }

  async #leave(): Promise<void> {
    const { view } = this;
    if (view === undefined) return;
    const closes = this.#options.random(2) === 0;
    const end = closes && !this.isReadOnly ? view.ledger.beginExpunge('deleted', undefined) : () => undefined;
    if (!closes) this.#keepCache();
    this.view = undefined;
    await this.run(closes ? 'CLOSE' : 'UNSELECT');
    end();
  }

  async idle(): Promise<void> {
    this.#begin('IDLE');
    const tag = this.#client.send('IDLE');
    let isDone = false;
    for (;;) {
      const line = await this.#client.line();
      if (line === undefined) this.fail('closed in IDLE');
      this.#remember(`< ${line}`);
      if (line.startsWith(`${tag} `)) return void this.#tagged(line.slice(tag.length + 1), 'IDLE');
      if (!line.startsWith('+')) this.#untagged(line, { name: 'IDLE', isUid: false });
      else if (!isDone) {
        isDone = true;
        setTimeout(() => this.#client.raw('DONE\r\n'), this.#options.random(30));
      }
    }
  }

  /** Nothing arrived that no command asked for. */
  checkQuiet(): void {
    for (const line of this.#client.unread) this.#untagged(line, between);
  }
}

function readModified(reply: string, isUid: boolean, view: ClientView): number[] {
  const code = /\[MODIFIED ([\d:,]+)\]/.exec(reply)?.[1];
  if (code === undefined) return [];
  const numbers = readSet(code);
  return isUid ? numbers : numbers.map((seq) => view.messages[seq - 1]?.uid ?? 0);
}

function changed(flags: string, values: ReadonlyMap<string, boolean>): string {
  const set = new Set(flags.split(' ').filter((flag) => flag !== ''));
  for (const [flag, value] of values)
    if (value) set.add(flag);
    else set.delete(flag);
  return [...set].sort().join(' ');
}
