// A mailbox whose owner gives and takes rights (RFC 4314), and a user who tries what they allow: each command is judged by the rights that hold.
import { setTimeout as sleep } from 'node:timers/promises';
import type { LineClient } from '../support/line-client.js';
import { PlayClient, type SidePlay, type SidePlayContext } from './side-play.js';

export interface SharedAccount {
  /** The mailbox as its owner names it, and as the other one does. */
  readonly box: string;
  readonly sharedBox: string;
  readonly guest: string;
  readonly connect: (who: 'owner' | 'guest') => Promise<LineClient>;
}

const allRights = 'lrswtie';
const flagRights = { '\\Seen': 's', '\\Flagged': 'w', '\\Deleted': 't' } as const;
const pauseMs = 200;

export function rightsPlay(account: SharedAccount): SidePlay {
  return async (context) => {
    const owner = new PlayClient('owner', await account.connect('owner'), context);
    const guest = new PlayClient('guest', await account.connect('guest'), context);
    try {
      await owner.run(`CREATE ${account.box}`);
      const play = new RightsPlay(owner, guest, account, context);
      while (!context.signal.aborted) {
        await play.step();
        await sleep(context.random(pauseMs), undefined, { signal: context.signal }).catch(() => undefined);
      }
      return owner.commands + guest.commands;
    } finally {
      owner.close();
      guest.close();
    }
  };
}

class RightsPlay {
  readonly #owner: PlayClient;
  readonly #guest: PlayClient;
  readonly #account: SharedAccount;
  readonly #random: (below: number) => number;
  #rights = '';
  #turns = 0;

  constructor(owner: PlayClient, guest: PlayClient, account: SharedAccount, { random }: SidePlayContext) {
    this.#owner = owner;
    this.#guest = guest;
    this.#account = account;
    this.#random = random;
  }

  async step(): Promise<void> {
    await this.#change();
    await this.#myRights();
    for (let count = 1 + this.#random(4); count > 0; count--) {
      const choice = this.#random(4);
      if (choice === 0) await this.#append();
      else if (choice === 1) await this.#store();
      else if (choice === 2) await this.#expunge();
      else await this.#administer();
    }
  }

  #has(right: string): boolean {
    return this.#rights.includes(right);
  }

  async #change(): Promise<void> {
    const { box, guest } = this.#account;
    this.#rights = [...allRights].filter(() => this.#random(3) > 0).join('');
    if (this.#random(8) === 0) {
      this.#rights = '';
      await this.#owner.ok(`DELETEACL ${box} ${guest}`);
    } else await this.#owner.ok(`SETACL ${box} ${guest} "${this.#rights}"`);
  }

  /** A command that needs rights succeeds exactly with them. */
  async #judged(command: string, isAllowed: boolean): Promise<readonly string[]> {
    const lines = await this.#guest.run(command);
    const reply = lines.at(-1) ?? '';
    if (reply.startsWith('OK') !== isAllowed) this.#guest.fail(`${command.slice(0, 60)} with the rights "${this.#rights}": ${reply}`);
    if (!isAllowed && !/^NO \[(NOPERM|READ-ONLY|NONEXISTENT|TRYCREATE)\]/.test(reply))
      this.#guest.fail(`refused without a reason: ${reply}`);
    if (this.#rights === '' && !/^NO \[(NONEXISTENT|TRYCREATE)\]/.test(reply))
      this.#guest.fail(`tells that the mailbox is there: ${reply}`);
    return lines;
  }

  async #myRights(): Promise<void> {
    const lines = await this.#guest.run(`MYRIGHTS ${this.#account.sharedBox}`);
    const told = / ([a-z]+)$/.exec(lines.find((line) => line.startsWith('* MYRIGHTS')) ?? '')?.[1] ?? '';
    // Without l, r, i, k, x and a the mailbox need not be told to be there (RFC 4314 4).
    const isSeen = /[lri]/.test(this.#rights);
    const wanted = isSeen ? this.#rights : '';
    const plain = [...told]
      .filter((right) => allRights.includes(right))
      .sort()
      .join('');
    if (isSeen && plain !== [...wanted].sort().join('')) this.#guest.fail(`MYRIGHTS "${told}", given were "${this.#rights}"`);
    if (this.#rights === '' && told !== '') this.#guest.fail(`MYRIGHTS "${told}", nothing was given`);
  }

  async #append(): Promise<void> {
    this.#turns += 1;
    const text = `Subject: r${this.#turns}\r\n\r\nx\r\n`;
    const lines = await this.#judged(`APPEND ${this.#account.sharedBox} (\\Flagged \\Seen) {${text.length}+}\r\n${text}`, this.#has('i'));
    if (!this.#has('i')) return;
    const uid = Number(/APPENDUID \d+ (\d+)/.exec(lines.at(-1) ?? '')?.[1]);
    if (Number.isNaN(uid)) return;
    const flags = await this.#flagsOf(uid);
    for (const flag of ['\\Flagged', '\\Seen'] as const)
      if (flags.includes(flag) !== this.#has(flagRights[flag])) this.#guest.fail(`saved with (${flags}), the rights are "${this.#rights}"`);
  }

  /** As the owner sees them. */
  async #flagsOf(uid: number): Promise<string> {
    await this.#owner.ok(`SELECT ${this.#account.box}`);
    const line =
      (await this.#owner.ok(`UID FETCH ${uid} (FLAGS)`)).find((text) => text.includes(' FETCH ')) ?? this.#owner.fail('not there');
    return /FLAGS \(([^)]*)\)/.exec(line)?.[1] ?? '';
  }

  async #store(): Promise<void> {
    const lines = await this.#judged(`SELECT ${this.#account.sharedBox}`, this.#has('r'));
    const count = Number(/^\* (\d+) EXISTS/m.exec(lines.join('\n'))?.[1] ?? 0);
    if (!this.#has('r') || count === 0) return;
    const seq = 1 + this.#random(count);
    const fetched = (await this.#guest.ok(`FETCH ${seq} (UID FLAGS)`)).join('\n');
    const uid = Number(/UID (\d+)/.exec(fetched)?.[1] ?? this.#guest.fail('no UID'));
    const before = await this.#flagsOf(uid);
    const names = Object.keys(flagRights) as (keyof typeof flagRights)[];
    const flag = names[this.#random(names.length)] ?? '\\Seen';
    const sign = this.#random(2) === 0 ? '+' : '-';
    await this.#judged(`UID STORE ${uid} ${sign}FLAGS (${flag})`, this.#has(flagRights[flag]));
    const after = await this.#flagsOf(uid);
    const wanted = this.#has(flagRights[flag]) ? sign === '+' : before.includes(flag);
    if (after.includes(flag) !== wanted)
      this.#guest.fail(`${sign}FLAGS (${flag}) made (${after}) of (${before}), the rights are "${this.#rights}"`);
  }

  async #expunge(): Promise<void> {
    if (!this.#has('r')) return;
    const selected = await this.#owner.ok(`SELECT ${this.#account.box}`);
    if (selected.includes('* 0 EXISTS')) return;
    await this.#owner.ok('STORE 1 +FLAGS (\\Deleted)');
    const before = await this.#deleted();
    await this.#judged(`SELECT ${this.#account.sharedBox}`, true);
    const reply = (await this.#guest.run('EXPUNGE')).at(-1) ?? '';
    if (reply.startsWith('OK') !== this.#has('e')) this.#guest.fail(`EXPUNGE with the rights "${this.#rights}": ${reply}`);
    const after = await this.#deleted();
    if (after !== (this.#has('e') ? 0 : before)) this.#guest.fail(`EXPUNGE left ${after} of ${before}, the rights are "${this.#rights}"`);
  }

  async #deleted(): Promise<number> {
    await this.#owner.ok(`SELECT ${this.#account.box}`);
    const line = (await this.#owner.ok('UID SEARCH DELETED')).find((text) => text.startsWith('* SEARCH')) ?? '';
    return line.split(' ').length - 2;
  }

  /** Never given. */
  async #administer(): Promise<void> {
    const { sharedBox, guest } = this.#account;
    const command = ['GETACL @', `SETACL @ ${guest} lrswtiea`, 'DELETE @', 'RENAME @ stolen'][this.#random(4)] ?? '';
    await this.#judged(command.replace('@', sharedBox), false);
  }
}
