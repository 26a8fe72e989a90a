// Random commands of many sessions on one mailbox, each session checked against a model of what its client may see. Replayable by seed.
import assert from 'node:assert/strict';
import type { LineClient } from './line-client.js';

/** Small, fast, seedable (mulberry32). */
export function seededRandom(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296) * below);
  };
}

/** What all clients know together. */
export interface SharedFacts {
  /** Subject of each UID ever seen: a UID names one message for ever. */
  readonly subjects: Map<number, string>;
  appended: number;
}

const flagNames = ['\\Seen', '\\Answered', '\\Flagged', '\\Deleted', '\\Draft', 'kw1', 'kw2'];
const noExpunge = /^(FETCH|STORE|SEARCH)/;

export class StressClient {
  readonly #client: LineClient;
  readonly #random: (below: number) => number;
  readonly #shared: SharedFacts;
  readonly #name: string;
  /** UID of each sequence number; 0 where the client was not told. */
  #uids: number[] = [];
  #isSelected = false;
  readonly history: string[] = [];

  constructor(client: LineClient, name: string, seed: number, shared: SharedFacts) {
    this.#client = client;
    this.#name = name;
    this.#random = seededRandom(seed);
    this.#shared = shared;
  }

  #fail(reason: string): never {
    assert.fail(`${this.#name}: ${reason}\n${this.history.slice(-25).join('\n')}`);
  }

  async run(command: string): Promise<string[]> {
    this.history.push(`> ${command.slice(0, 120)}`);
    const lines = await this.#client.run(command);
    for (const line of lines) this.history.push(`< ${line.slice(0, 200)}`);
    const tagged = lines.pop() ?? '';
    if (tagged.startsWith('BAD')) this.#fail(`BAD to ${command}`);
    for (const line of lines) this.#untagged(command, line);
    return [...lines, tagged];
  }

  #untagged(command: string, line: string): void {
    const number = /^\* (\d+) (EXISTS|EXPUNGE|RECENT|FETCH)(.*)$/s.exec(line);
    if (number === null) {
      if (line.startsWith('* BYE')) this.#fail('disconnected');
      return;
    }
    const value = Number(number[1]);
    switch (number[2]) {
      case 'EXISTS':
        if (value < this.#uids.length) this.#fail(`EXISTS ${value} shrinks a mailbox of ${this.#uids.length}`);
        while (this.#uids.length < value) this.#uids.push(0);
        return;
      case 'EXPUNGE':
        if (noExpunge.test(command)) this.#fail(`EXPUNGE during ${command}`);
        if (value < 1 || value > this.#uids.length) this.#fail(`EXPUNGE ${value} of ${this.#uids.length}`);
        this.#uids.splice(value - 1, 1);
        return;
      case 'RECENT':
        if (value > this.#uids.length) this.#fail(`RECENT ${value} of ${this.#uids.length}`);
        return;
      default:
        this.#fetched(value, number[3] ?? '');
    }
  }

  #fetched(seq: number, items: string): void {
    if (seq < 1 || seq > this.#uids.length) this.#fail(`FETCH ${seq} of ${this.#uids.length}`);
    const uid = Number(/\bUID (\d+)/.exec(items)?.[1] ?? 0);
    if (uid === 0) return;
    const known = this.#uids[seq - 1];
    if (known !== 0 && known !== uid) this.#fail(`message ${seq} had UID ${known}, now ${uid}`);
    for (let before = seq - 2; before >= 0; before--) {
      const other = this.#uids[before] ?? 0;
      if (other === 0) continue;
      if (other >= uid) this.#fail(`UID ${uid} of message ${seq} is not above ${other} of message ${before + 1}`);
      break;
    }
    this.#uids[seq - 1] = uid;
    const subject = /Subject: ([^\r\n]*)/.exec(items)?.[1];
    if (subject === undefined) return;
    const earlier = this.#shared.subjects.get(uid);
    if (earlier !== undefined && earlier !== subject) this.#fail(`UID ${uid} was "${earlier}", now "${subject}"`);
    this.#shared.subjects.set(uid, subject);
  }

  async select(): Promise<void> {
    // What the numbers mean begins anew with SELECT.
    this.#uids = [];
    const tagged = (await this.run('SELECT INBOX')).at(-1);
    if (!tagged?.startsWith('OK')) this.#fail(`SELECT: ${tagged}`);
    this.#isSelected = true;
  }

  #set(): string {
    const count = this.#uids.length;
    const first = 1 + this.#random(count);
    const last = Math.min(count, first + this.#random(5));
    return this.#random(10) === 0 ? '1:*' : `${first}:${last}`;
  }

  #flags(): string {
    return `(${flagNames.filter(() => this.#random(4) === 0).join(' ')})`;
  }

  /** One random command. */
  async step(): Promise<void> {
    if (!this.#isSelected) return this.select();
    const choice = this.#random(100);
    if (choice < 14 || this.#uids.length === 0) return this.#append();
    const uid = this.#random(2) === 0 ? 'UID ' : '';
    const set = uid === '' ? this.#set() : this.#uidSet();
    if (choice < 34) await this.run(`${uid}FETCH ${set} (UID FLAGS)`);
    else if (choice < 42) await this.run(`${uid}FETCH ${set} (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])`);
    else if (choice < 46) await this.run(`${uid}FETCH ${set} (UID BODY[TEXT])`);
    else if (choice < 62)
      await this.run(`${uid}STORE ${set} ${['+', '-', ''][this.#random(3)]}FLAGS${['', '.SILENT'][this.#random(2)]} ${this.#flags()}`);
    else if (choice < 68) await this.#search(uid);
    else if (choice < 78) await this.run('EXPUNGE');
    else if (choice < 83) await this.run(`${uid}COPY ${set} INBOX`);
    else if (choice < 86) await this.run(`${uid}MOVE ${set} INBOX`);
    else if (choice < 92) await this.run('NOOP');
    else if (choice < 95) await this.#idle();
    else if (choice < 98) {
      await this.run(choice === 95 ? 'CLOSE' : 'UNSELECT');
      this.#isSelected = false;
    } else await this.run('STATUS INBOX (MESSAGES UNSEEN UIDNEXT)');
  }

  #uidSet(): string {
    const known = this.#uids.filter((uid) => uid > 0);
    const first = known[this.#random(known.length)] ?? 1;
    return this.#random(10) === 0 ? '1:*' : `${first}:${first + this.#random(6)}`;
  }

  async #append(): Promise<void> {
    this.#shared.appended += 1;
    const text = `Subject: ${this.#name} ${this.#shared.appended}\r\n\r\n${'text '.repeat(this.#random(200))}\r\n`;
    await this.run(`APPEND INBOX ${this.#flags()} {${text.length}+}\r\n${text}`);
  }

  async #search(uid: string): Promise<void> {
    const lines = await this.run(`${uid}SEARCH ${['ALL', 'UNSEEN', 'DELETED', 'NOT KEYWORD kw1'][this.#random(4)]}`);
    if (uid !== '') return;
    const found = lines.find((line) => line.startsWith('* SEARCH'));
    for (const text of found?.split(' ').slice(2) ?? []) if (Number(text) > this.#uids.length) this.#fail(`SEARCH found ${text}`);
  }

  async #idle(): Promise<void> {
    this.history.push('> IDLE');
    const tag = this.#client.send('IDLE');
    let isDone = false;
    for (;;) {
      const line = await this.#client.line();
      if (line === undefined) this.#fail('closed in IDLE');
      this.history.push(`< ${line.slice(0, 200)}`);
      if (line.startsWith(`${tag} `)) return;
      if (line.startsWith('+')) {
        // Others get a turn in between.
        await new Promise((resolve) => setImmediate(resolve));
        if (!isDone) this.#client.raw('DONE\r\n');
        isDone = true;
      } else this.#untagged('IDLE', line);
    }
  }

  /** Everything as the server has it now: `uid flags` per message. */
  async finalState(): Promise<string[]> {
    if (!this.#isSelected) await this.select();
    await this.run('NOOP');
    if (this.#uids.length === 0) return [];
    const lines = await this.run('FETCH 1:* (UID FLAGS)');
    return lines
      .filter((line) => /^\* \d+ FETCH/.test(line))
      .map((line) => {
        const flags = /FLAGS \(([^)]*)\)/.exec(line)?.[1]?.split(' ') ?? [];
        return `${/UID (\d+)/.exec(line)?.[1]} ${flags
          .filter((flag) => flag !== '\\Recent')
          .sort()
          .join(' ')}`;
      });
  }
}

/** Plays `steps` rounds; then all clients must agree about the mailbox. */
export async function runStress(clients: readonly LineClient[], seed: number, steps: number): Promise<void> {
  const shared: SharedFacts = { subjects: new Map(), appended: 0 };
  const players = clients.map((client, index) => new StressClient(client, `client${index}`, seed * 1000 + index, shared));
  await Promise.all(
    players.map(async (player) => {
      for (let step = 0; step < steps; step++) await player.step();
    }),
  );
  const states: string[][] = [];
  for (const player of players) states.push(await player.finalState());
  for (const [index, state] of states.entries()) {
    const history = [players[0], players[index]].map((player) => player?.history.slice(-12).join('\n')).join('\n\n');
    assert.deepEqual(state, states[0], `client${index} and client0 disagree (seed ${seed})\n${history}`);
  }
}
