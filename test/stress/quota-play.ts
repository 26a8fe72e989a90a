// An account with a small quota: what is refused, and what is not, and that the usage told is that of the messages there are (RFC 9208).
//
// With one client every reply is known before. With several the limits hold all the same, and in the end the usage is right.
import { setTimeout as sleep } from 'node:timers/promises';
import type { LineClient } from '../support/line-client.js';
import { readSet } from './reply.js';
import { PlayClient, type SidePlay, type SidePlayContext } from './side-play.js';

export interface QuotaAccount {
  readonly name: string;
  readonly connect: () => Promise<LineClient>;
  readonly clients: number;
  readonly maxBytes: number;
  readonly maxMessages: number;
}

const boxes = ['INBOX', 'Extra'] as const;
const pauseMs = 150;

interface Usage {
  readonly storage: number;
  readonly messages: number;
}

export function quotaPlay(account: QuotaAccount): SidePlay {
  return async (context) => {
    const clients: PlayClient[] = [];
    try {
      for (let index = 0; index < account.clients; index++)
        clients.push(new PlayClient(`${account.name}${index}`, await account.connect(), context));
      await clients[0]?.run('CREATE Extra');
      await Promise.all(clients.map((client) => play(client, account, context)));
      if (clients[0] !== undefined) await checkSum(clients[0], account);
      return clients.reduce((sum, { commands }) => sum + commands, 0);
    } finally {
      for (const client of clients) client.close();
    }
  };
}

async function play(client: PlayClient, account: QuotaAccount, context: SidePlayContext): Promise<void> {
  const turn = new QuotaClient(client, account, context.random);
  while (!context.signal.aborted) {
    await turn.step();
    await sleep(context.random(pauseMs), undefined, { signal: context.signal }).catch(() => undefined);
  }
}

class QuotaClient {
  readonly #client: PlayClient;
  readonly #account: QuotaAccount;
  readonly #random: (below: number) => number;
  /** Sizes by UID, of what this client has seen or made. */
  readonly #known = new Map<string, Map<number, number>>(boxes.map((name) => [name, new Map()]));

  constructor(client: PlayClient, account: QuotaAccount, random: (below: number) => number) {
    this.#client = client;
    this.#account = account;
    this.#random = random;
  }

  get #isAlone(): boolean {
    return this.#account.clients === 1;
  }

  async step(): Promise<void> {
    const [from = 'INBOX', to = 'Extra'] = this.#random(2) === 0 ? boxes : [...boxes].reverse();
    const choice = this.#random(10);
    if (choice < 4) await this.#append(from);
    else if (choice < 6) await this.#copy(from, to, 'COPY');
    // During these both messages are there, which others would see.
    else if (choice < 7 && this.#isAlone) await this.#copy(from, to, 'MOVE');
    else if (choice < 8 && this.#isAlone) await this.#replace(from);
    else await this.#remove(from);
    const usage = await usageOf(this.#client, this.#account);
    const { maxBytes, maxMessages } = this.#account;
    if (usage.storage * 1_024 > maxBytes + 1_023 || usage.messages > maxMessages) this.#client.fail('the quota is exceeded');
    if (!this.#isAlone) return;
    const { bytes, messages } = this.#total;
    if (usage.storage !== Math.ceil(bytes / 1_024) || usage.messages !== messages)
      this.#client.fail(`there are ${messages} messages of ${bytes} octets, the usage is ${JSON.stringify(usage)}`);
  }

  get #total(): { readonly bytes: number; readonly messages: number } {
    let bytes = 0;
    let messages = 0;
    for (const sizes of this.#known.values()) {
      messages += sizes.size;
      for (const size of sizes.values()) bytes += size;
    }
    return { bytes, messages };
  }

  #sizes(box: string): Map<number, number> {
    return this.#known.get(box) ?? new Map<number, number>();
  }

  #some(box: string): number[] {
    const uids = [...this.#sizes(box).keys()];
    const first = this.#random(Math.max(1, uids.length));
    return uids.slice(first, first + 1 + this.#random(4)).sort((a, b) => a - b);
  }

  /** Judges a command that needs this much more room. @returns whether it succeeded */
  #judge(reply: string, what: string, bytes: number, messages: number): boolean {
    const { maxBytes, maxMessages } = this.#account;
    const total = this.#total;
    const fits = total.bytes + bytes <= maxBytes && total.messages + messages <= maxMessages;
    if (reply.startsWith('OK')) {
      if (this.#isAlone && !fits) this.#client.fail(`${what} went beyond the quota: ${JSON.stringify(total)} and ${bytes}`);
      return true;
    }
    if (!this.#isAlone && /^NO \[(EXPUNGEISSUED|NONEXISTENT)\]/.test(reply)) return false;
    if (!/^NO \[OVERQUOTA\]/.test(reply)) this.#client.fail(`${what}: ${reply}`);
    if (this.#isAlone && fits) this.#client.fail(`${what} was refused although there is room: ${JSON.stringify(total)} and ${bytes}`);
    return false;
  }

  async #append(box: string): Promise<void> {
    const count = this.#random(4) === 0 ? 2 + this.#random(3) : 1;
    const texts = Array.from({ length: count }, () => this.#text());
    const bytes = texts.reduce((sum, text) => sum + text.length, 0);
    const lines = await this.#client.run(`APPEND ${box}${texts.map((text) => ` {${text.length}+}\r\n${text}`).join('')}`);
    if (!this.#judge(lines.at(-1) ?? '', 'APPEND', bytes, count)) return;
    const uids = readSet(/APPENDUID \d+ ([\d:,]+)/.exec(lines.at(-1) ?? '')?.[1] ?? this.#client.fail('no APPENDUID'));
    for (const [index, uid] of uids.entries()) this.#sizes(box).set(uid, texts[index]?.length ?? 0);
  }

  #text(): string {
    return `Subject: q\r\n\r\n${'x'.repeat(this.#random(9_000))}\r\n`;
  }

  async #copy(from: string, to: string, verb: 'COPY' | 'MOVE'): Promise<void> {
    const uids = this.#some(from);
    if (uids.length === 0) return this.#append(from);
    const bytes = uids.reduce((sum, uid) => sum + (this.#sizes(from).get(uid) ?? 0), 0);
    await this.#client.ok(`SELECT ${from}`);
    const lines = await this.#client.run(`UID ${verb} ${uids.join(',')} ${to}`);
    const reply = lines.at(-1) ?? '';
    // What is moved is there already.
    const more = verb === 'MOVE' ? ([0, 0] as const) : ([bytes, uids.length] as const);
    if (!this.#judge(reply, `UID ${verb}`, ...more)) {
      if (!this.#isAlone) for (const uid of uids) this.#sizes(from).delete(uid);
      return;
    }
    const code = /COPYUID \d+ ([\d:,]+) ([\d:,]+)/.exec(lines.join('\n'));
    if (code === null && this.#isAlone) this.#client.fail('no COPYUID');
    const [sources, made] = [readSetOf(code?.[1]), readSetOf(code?.[2])];
    for (const [index, uid] of sources.entries()) this.#sizes(to).set(made[index] ?? 0, this.#sizes(from).get(uid) ?? 0);
    if (verb === 'MOVE' || !this.#isAlone)
      for (const uid of uids) if (verb === 'MOVE' || !sources.includes(uid)) this.#sizes(from).delete(uid);
  }

  /** RFC 8508: needs room for the difference only. */
  async #replace(box: string): Promise<void> {
    const [uid] = this.#some(box);
    if (uid === undefined) return this.#append(box);
    const text = this.#text();
    const before = this.#sizes(box).get(uid) ?? 0;
    await this.#client.ok(`SELECT ${box}`);
    const lines = await this.#client.run(`UID REPLACE ${uid} ${box} {${text.length}+}\r\n${text}`);
    if (!this.#judge(lines.at(-1) ?? '', 'UID REPLACE', text.length - before, 0)) {
      if (!this.#isAlone) this.#sizes(box).delete(uid);
      return;
    }
    this.#sizes(box).delete(uid);
    const made = Number(/APPENDUID \d+ (\d+)/.exec(lines.join('\n'))?.[1] ?? this.#client.fail('no APPENDUID'));
    this.#sizes(box).set(made, text.length);
  }

  async #remove(box: string): Promise<void> {
    const uids = this.#some(box);
    if (uids.length === 0) return;
    await this.#client.ok(`SELECT ${box}`);
    const set = uids.join(',');
    const lines = await this.#client.run(`UID STORE ${set} +FLAGS.SILENT (\\Deleted)`);
    if (this.#isAlone && lines.at(-1)?.startsWith('OK') !== true) this.#client.fail(`STORE: ${lines.at(-1)}`);
    await this.#client.ok(`UID EXPUNGE ${set}`);
    for (const uid of uids) this.#sizes(box).delete(uid);
  }
}

function readSetOf(text: string | undefined): number[] {
  return text === undefined ? [] : readSet(text);
}

async function usageOf(client: PlayClient, { maxBytes, maxMessages }: QuotaAccount): Promise<Usage> {
  const lines = await client.ok('GETQUOTAROOT INBOX');
  const line = lines.find((text) => text.startsWith('* QUOTA ')) ?? client.fail('no QUOTA');
  const [, storage, storageLimit, messages, messageLimit] = /\(STORAGE (\d+) (\d+) MESSAGE (\d+) (\d+)\)$/.exec(line) ?? [];
  if (Number(storageLimit) !== Math.floor(maxBytes / 1_024) || Number(messageLimit) !== maxMessages) client.fail(line);
  return { storage: Number(storage), messages: Number(messages) };
}

/** All is quiet: the usage is the sum over the mailboxes. */
async function checkSum(client: PlayClient, account: QuotaAccount): Promise<void> {
  let [bytes, messages] = [0, 0];
  for (const box of boxes) {
    const line = (await client.ok(`STATUS ${box} (MESSAGES SIZE)`)).find((text) => text.startsWith('* STATUS')) ?? '';
    messages += Number(/MESSAGES (\d+)/.exec(line)?.[1]);
    bytes += Number(/SIZE (\d+)/.exec(line)?.[1]);
  }
  const usage = await usageOf(client, account);
  if (usage.storage !== Math.ceil(bytes / 1_024) || usage.messages !== messages)
    client.fail(`in the end there are ${messages} messages of ${bytes} octets, the usage is ${JSON.stringify(usage)}`);
}
