// Dovecot as referee: both servers work on one Maildir in turns, a few random operations each, and see the same after every turn.
//
// ROOST_REFEREE_SEED repeats a run, ROOST_REFEREE_TURNS makes it longer (300 turns take about half a minute).
import assert from 'node:assert/strict';
import { chownSync, existsSync, readdirSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { type AccountState, accountState, agreedState, ImapClient, quote } from './support/imap.js';
import { deliver, makeMessage } from './support/mail.js';
import { Random } from './support/random.js';
import { type ServerName, startServer } from './support/servers.js';
import { makeWorld, type World } from './support/world.js';

const seed = Number(process.env['ROOST_REFEREE_SEED'] ?? Math.floor(Math.random() * 1e9));
const turns = Number(process.env['ROOST_REFEREE_TURNS'] ?? 120);
const flagNames = ['\\Seen', '\\Flagged', '\\Answered', '\\Draft', '\\Deleted', 'Work', '$Label1', '$Forwarded', 'later'];

/** What must be there: flags by UID by mailbox. */
class Model {
  readonly mailboxes = new Map<string, Map<number, Set<string>>>([['INBOX', new Map()]]);
  readonly subscribed = new Set<string>();

  mailbox(name: string): Map<number, Set<string>> {
    const found = this.mailboxes.get(name);
    assert.ok(found !== undefined, `no mailbox ${name} in the model`);
    return found;
  }
}

class Turn {
  readonly #random: Random;
  readonly #model: Model;
  readonly #world: World;
  readonly #client: ImapClient;
  readonly #counter: { value: number };
  /** Mailboxes that got a message whose UID is not known yet, with how many. */
  readonly awaited: Map<string, number>;
  readonly done: string[] = [];

  constructor(parts: {
    random: Random;
    model: Model;
    world: World;
    client: ImapClient;
    counter: { value: number };
    awaited: Map<string, number>;
  }) {
    this.#random = parts.random;
    this.#model = parts.model;
    this.#world = parts.world;
    this.#client = parts.client;
    this.#counter = parts.counter;
    this.awaited = parts.awaited;
  }

  async operation(): Promise<void> {
    const weighted: readonly (readonly [number, () => Promise<void>])[] = [
      [6, () => this.#append()],
      [3, () => this.#deliver()],
      [10, () => this.#store()],
      [4, () => this.#expunge()],
      [4, () => this.#copy('COPY')],
      [4, () => this.#copy('MOVE')],
      [2, () => this.#create()],
      [2, () => this.#rename()],
      [1, () => this.#delete()],
      [2, () => this.#subscribe()],
      [2, () => this.#foreignFile()],
      [2, () => this.#foreignRename()],
      [1, () => this.#foreignRemoval()],
    ];
    let at = this.#random.below(weighted.reduce((sum, [weight]) => sum + weight, 0));
    for (const [weight, run] of weighted) {
      at -= weight;
      if (at < 0) return await run();
    }
  }

  #anyMailbox(): string {
    return this.#random.chance(0.5) ? 'INBOX' : this.#random.pick([...this.#model.mailboxes.keys()]);
  }

  #message(): string {
    this.#counter.value += 1;
    return makeMessage({ subject: `message ${this.#counter.value}`, body: 'x'.repeat(this.#random.below(2_000)), lineEnd: '\r\n' });
  }

  async #append(): Promise<void> {
    const name = this.#anyMailbox();
    const flags = this.#random.some(flagNames, 0.2).filter((flag) => flag !== '\\Deleted');
    this.done.push(`append ${name} ${flags.join(' ')}`);
    const uid = await this.#client.append(name, flags.join(' '), this.#message());
    this.#model.mailbox(name).set(uid, new Set(flags));
  }

  #expectOne(name: string): void {
    this.awaited.set(name, (this.awaited.get(name) ?? 0) + 1);
  }

  async #deliver(): Promise<void> {
    this.done.push('deliver');
    await deliver(this.#world, 'anna', this.#message());
    this.#expectOne('INBOX');
  }

  /** Selects a mailbox with messages of the model; undefined when there are none. */
  async #selected(): Promise<{ readonly name: string; readonly messages: Map<number, Set<string>> } | undefined> {
    const name = this.#anyMailbox();
    const messages = this.#model.mailbox(name);
    if (messages.size === 0) return undefined;
    await this.#client.ok(`SELECT ${quote(name)}`);
    return { name, messages };
  }

  async #store(): Promise<void> {
    const selected = await this.#selected();
    if (selected === undefined) return;
    const uids = this.#random.some([...selected.messages.keys()].sort((a, b) => a - b));
    const flags = this.#random.some(flagNames, 0.25);
    const kind = this.#random.pick(['+', '-', '']);
    this.done.push(`store ${selected.name} ${uids} ${kind} ${flags.join(' ')}`);
    await this.#client.ok(`UID STORE ${uids.join(',')} ${kind}FLAGS${this.#random.chance(0.5) ? '.SILENT' : ''} (${flags.join(' ')})`);
    for (const uid of uids) {
      const held = selected.messages.get(uid);
      if (held === undefined) continue;
      if (kind === '') held.clear();
      for (const flag of flags) {
        if (kind === '-') held.delete(flag);
        else held.add(flag);
      }
    }
  }

  async #expunge(): Promise<void> {
    const selected = await this.#selected();
    if (selected === undefined) return;
    const uids = this.#random.some(
      [...selected.messages.keys()].sort((a, b) => a - b),
      0.15,
    );
    this.done.push(`expunge ${selected.name} ${uids}`);
    await this.#client.ok(`UID STORE ${uids.join(',')} +FLAGS.SILENT (\\Deleted)`);
    await this.#client.ok(`UID EXPUNGE ${uids.join(',')}`);
    for (const uid of uids) selected.messages.delete(uid);
  }

  async #copy(command: 'COPY' | 'MOVE'): Promise<void> {
    const selected = await this.#selected();
    if (selected === undefined) return;
    const target = this.#anyMailbox();
    if (command === 'MOVE' && target === selected.name) return;
    const uids = this.#random.some(
      [...selected.messages.keys()].sort((a, b) => a - b),
      0.2,
    );
    this.done.push(`${command} ${selected.name} ${uids} ${target}`);
    const lines = await this.#client.run(`UID ${command} ${uids.join(',')} ${quote(target)}`);
    const code = lines.map((line) => /\[COPYUID \d+ (\S+) (\S+)\]/.exec(line)).find((match) => match !== null);
    assert.ok(code !== undefined && /^OK/.test(lines.at(-1) ?? ''), lines.join('\n'));
    const sources = uidSet(code?.[1] ?? '');
    const copies = uidSet(code?.[2] ?? '');
    assert.deepEqual(sources, uids);
    for (const [index, uid] of sources.entries()) {
      const flags = selected.messages.get(uid);
      const copy = copies[index];
      assert.ok(flags !== undefined && copy !== undefined);
      this.#model.mailbox(target).set(copy, new Set(flags));
      if (command === 'MOVE') selected.messages.delete(uid);
    }
  }

  async #create(): Promise<void> {
    if (this.#model.mailboxes.size > 6) return;
    this.#counter.value += 1;
    const name = `${this.#random.pick(['Box', 'Box/sub', 'B&APw-cher', 'a b'])}-${this.#counter.value}`;
    this.done.push(`create ${name}`);
    await this.#client.ok(`CREATE ${quote(name)}`);
    this.#model.mailboxes.set(name, new Map());
  }

  #other(): string | undefined {
    const names = [...this.#model.mailboxes.keys()].filter((name) => name !== 'INBOX');
    return names.length === 0 ? undefined : this.#random.pick(names);
  }

  async #rename(): Promise<void> {
    const name = this.#other();
    if (name === undefined) return;
    this.#counter.value += 1;
    const target = `Renamed-${this.#counter.value}`;
    this.done.push(`rename ${name} ${target}`);
    await this.#client.ok('UNSELECT').catch(() => undefined);
    await this.#client.ok(`RENAME ${quote(name)} ${quote(target)}`);
    this.#model.mailboxes.set(target, this.#model.mailbox(name));
    this.#model.mailboxes.delete(name);
    const awaited = this.awaited.get(name);
    if (awaited !== undefined) this.awaited.set(target, awaited);
    this.awaited.delete(name);
  }

  async #delete(): Promise<void> {
    const name = this.#other();
    if (name === undefined) return;
    this.done.push(`delete ${name}`);
    await this.#client.ok('UNSELECT').catch(() => undefined);
    await this.#client.ok(`DELETE ${quote(name)}`);
    this.#model.mailboxes.delete(name);
    this.awaited.delete(name);
  }

  async #subscribe(): Promise<void> {
    const name = this.#random.pick([...this.#model.mailboxes.keys()]);
    const isOn = this.#random.chance(0.7);
    this.done.push(`${isOn ? 'subscribe' : 'unsubscribe'} ${name}`);
    await this.#client.ok(`${isOn ? 'SUBSCRIBE' : 'UNSUBSCRIBE'} ${quote(name)}`);
    if (isOn) this.#model.subscribed.add(name);
    else this.#model.subscribed.delete(name);
  }

  /** Another delivery program, sometimes with the line ends of UNIX. */
  async #foreignFile(): Promise<void> {
    const text = this.#message();
    const path = join(this.#world.maildir('anna'), 'new', `17000${this.#counter.value}.M1P1.foreign`);
    this.done.push(`foreign ${path}`);
    writeFileSync(path, this.#random.chance(0.5) ? text : text.replaceAll('\r\n', '\n'));
    if (process.getuid?.() === 0) chownSync(path, this.#world.mailUid, this.#world.mailGid);
    this.#expectOne('INBOX');
  }

  #files(): string[] {
    const cur = join(this.#world.maildir('anna'), 'cur');
    return existsSync(cur) ? readdirSync(cur).sort() : [];
  }

  /** A mail reader that works on the files marks a message as read or unread; the model learns which one from the servers. */
  async #foreignRename(): Promise<void> {
    const files = this.#files().filter((name) => /:2,[A-Za-z]*$/.test(name));
    if (files.length === 0) return;
    const name = this.#random.pick(files);
    const [base = '', letters = ''] = name.split(':2,');
    const kept = letters.includes('F') ? letters.replace('F', '') : [...letters, 'F'].sort().join('');
    this.done.push(`foreign rename ${name} ${kept}`);
    const cur = join(this.#world.maildir('anna'), 'cur');
    renameSync(join(cur, name), join(cur, `${base}:2,${kept}`));
    this.awaited.set('(flags of INBOX)', 1);
  }

  async #foreignRemoval(): Promise<void> {
    const files = this.#files();
    // A message whose UID the model has not learned yet would never be seen to have been there.
    if (files.length < 5 || this.awaited.has('INBOX')) return;
    const name = this.#random.pick(files);
    this.done.push(`foreign removal ${name}`);
    unlinkSync(join(this.#world.maildir('anna'), 'cur', name));
    this.awaited.set('(removed from INBOX)', (this.awaited.get('(removed from INBOX)') ?? 0) + 1);
  }
}

function uidSet(text: string): number[] {
  return text.split(',').flatMap((range) => {
    const [from = 0, to = from] = range.split(':').map(Number);
    return Array.from({ length: to - from + 1 }, (_, index) => from + index);
  });
}

/** Compares what a server shows with what must be there, and takes over what only the servers can know. */
function checkAgainstModel(state: AccountState, model: Model, awaited: Map<string, number>): void {
  assert.deepEqual(
    Object.keys(state.mailboxes)
      .filter((name) => !/^(Drafts|Sent|Trash)$/.test(name))
      .sort(),
    [...model.mailboxes.keys()].sort(),
  );
  for (const [name, messages] of model.mailboxes) {
    const shown = new Map(state.mailboxes[name]?.messages.map((message) => [message.uid, message.flags]));
    const isInbox = name === 'INBOX';
    const missing = [...messages.keys()].filter((uid) => !shown.has(uid));
    assert.equal(missing.length, isInbox ? (awaited.get('(removed from INBOX)') ?? 0) : 0, `${name}: gone: ${missing}`);
    for (const uid of missing) messages.delete(uid);
    const added = [...shown.keys()].filter((uid) => !messages.has(uid));
    assert.equal(added.length, awaited.get(name) ?? 0, `${name}: unexpected: ${added}`);
    for (const uid of added) messages.set(uid, new Set(shown.get(uid)));
    const wrong = [...messages].filter(([uid, flags]) => [...flags].sort().join(' ') !== shown.get(uid)?.join(' '));
    assert.ok(
      wrong.length <= (isInbox && awaited.has('(flags of INBOX)') ? 8 : 0),
      `${name}: flags of ${wrong.map(([uid, flags]) => `${uid} (${[...flags]}) not ${shown.get(uid)}`)}`,
    );
    for (const [uid] of wrong) messages.set(uid, new Set(shown.get(uid)));
  }
  for (const name of model.subscribed) assert.ok(state.subscribed.includes(name) || !model.mailboxes.has(name), `${name} is subscribed`);
  awaited.clear();
}

async function play(test: TestContext, worlds: Readonly<Record<ServerName, World>>): Promise<void> {
  const random = new Random(seed);
  const model = new Model();
  const awaited = new Map<string, number>();
  const counter = { value: 0 };
  const history: string[] = [];
  for (let turnNumber = 0; turnNumber < turns; turnNumber++) {
    const name: ServerName = random.pick(['dovecot', 'roost'] as const);
    const world = worlds[name];
    const client = await ImapClient.login(world.ports.imap, 'anna');
    const turn = new Turn({ random, model, world, client, counter, awaited });
    try {
      for (let count = 1 + random.below(5); count > 0; count--) {
        await turn.operation();
        // Two removals or renames of files need a look between them, to tell which message it was.
        if ([...awaited.keys()].some((key) => key.startsWith('('))) break;
      }
      await client.logout();
      history.push(`turn ${turnNumber} ${name}: ${turn.done.join('; ')}`);
      const order: readonly ServerName[] = random.chance(0.5) ? ['dovecot', 'roost'] : ['roost', 'dovecot'];
      const [one, two] = order.map((server) => worlds[server].ports.imap);
      assert.ok(one !== undefined && two !== undefined);
      const state = await agreedState([one, two], 'anna');
      checkAgainstModel(state, model, awaited);
    } catch (error) {
      history.push(`turn ${turnNumber} ${name} (failed): ${turn.done.join('; ')}`);
      test.diagnostic(history.slice(-8).join('\n'));
      throw new Error(
        `seed ${seed}, turn ${turnNumber} (${name}): ${turn.done.join('; ')}\n${error instanceof Error ? error.message : String(error)}`,
        { cause: error },
      );
    }
  }
}

describe(`Dovecot and Roost in turns on one Maildir (ROOST_REFEREE_SEED=${seed} ROOST_REFEREE_TURNS=${turns})`, () => {
  it('agree about every mailbox, message, flag, keyword, size, date and content after every turn', async (test) => {
    const dovecot = await makeWorld();
    const roost = await makeWorld({ mailOf: dovecot });
    try {
      await using first = await startServer('dovecot', dovecot);
      await using second = await startServer('roost', roost);
      // Either of them may be the one that makes the Maildir.
      await accountState((seed % 2 === 0 ? dovecot : roost).ports.imap, 'anna');
      await play(test, { dovecot, roost });
      assert.doesNotMatch(first.log(), /Panic|Corrupt|Broken/, first.log());
      assert.doesNotMatch(second.log(), /"level":"(error|fatal)"/, second.log());
    } finally {
      dovecot.remove();
      roost.remove();
    }
  });
});
