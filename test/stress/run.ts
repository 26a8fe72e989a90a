// Plays many sessions at once, then asks whether what everybody was told is what there is.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LineClient } from '../support/line-client.js';
import { judgeKept } from './check-kept.js';
import { allFlags, Clock, MailboxLedger } from './ledger.js';
import { messageOf } from './messages.js';
import { playOtherPrograms } from './other-programs.js';
import { seededRandom } from './random.js';
import { StressSession } from './session.js';
import type { SidePlay } from './side-play.js';
import { step } from './steps.js';
import { Verdict } from './verdict.js';

const progressMs = 30_000;
/** Of a session with as few extensions as there are. */
const witnessIndex = 1_050;
/** How long news of another mailbox may take on a loaded machine. */
const newsMs = 30_000;

export interface StressOptions {
  readonly seed: number;
  readonly sessions: number;
  /** The run ends after this time or, without it, after `steps` commands of each session. */
  readonly seconds?: number;
  readonly steps?: number;
  /** Names of steps (steps.ts): no others. */
  readonly only?: ReadonlySet<string>;
  /** Shared by all sessions; they exist and are empty. */
  readonly mailboxes: readonly string[];
  /** See SessionOptions; true unless told. */
  readonly isStrict?: boolean;
  readonly connect: (index: number) => Promise<LineClient>;
  /** Who a session logs in as, alice unless told, and how it names the mailboxes where they are somebody else's. */
  readonly who?: (index: number) => { readonly user: string; readonly sharedAs?: string };
  /** The owner of `mailboxes` shares them with whom `who` names. */
  readonly urlHost?: string;
  /** Other accounts of the same server. */
  readonly sidePlays?: Readonly<Record<string, SidePlay>>;
  /** Folder of each mailbox, where the checker can read it. */
  readonly maildirs?: Readonly<Record<string, string>>;
  /** What the processes of the server are doing, for the report. */
  readonly states?: () => string;
  /** Hears what every session sends and receives. */
  readonly trace?: (session: string, line: string) => void;
  /** Called every 30 s. */
  readonly progress?: (seconds: number, commands: number) => void;
}

export interface StressResult {
  readonly commands: number;
  readonly messages: number;
}

/** @throws StressFailure with the seed and the last lines of every session */
export async function runStress(options: StressOptions): Promise<StressResult> {
  const sessions: StressSession[] = [];
  const clients: LineClient[] = [];
  const verdict = new Verdict({
    repeat: `ROOST_STRESS_SEED=${options.seed} ROOST_STRESS_SESSIONS=${options.sessions}`,
    sessions,
    states: options.states,
  });
  const clock = new Clock();
  const ledgers = options.mailboxes.map((name) => new MailboxLedger(name, clock, (reason) => verdict.contradict(reason)));
  const connect = async (index: number): Promise<StressSession> => {
    const client = await options.connect(index);
    clients.push(client);
    const random = seededRandom(options.seed * 1_000 + index);
    const { user, sharedAs } = options.who?.(index) ?? { user: 'alice' };
    const session = new StressSession(client, {
      user,
      sharedAs,
      urlHost: options.urlHost,
      name: `s${index}`,
      random,
      ledgers,
      index,
      trace: options.trace === undefined ? undefined : (line) => options.trace?.(`s${index}`, line),
      isStrict: options.isStrict ?? true,
      only: options.only,
      fail: (reason, failed) => verdict.fail(reason, failed),
    });
    sessions.push(session);
    await session.start();
    return session;
  };
  try {
    await Promise.all(Array.from({ length: options.sessions }, (_, index) => connect(index)));
    const startMs = Date.now();
    const untilMs = startMs + (options.seconds ?? 0) * 1_000;
    let beside = 0;
    const total = (): number => sessions.reduce((sum, { commands }) => sum + commands, beside);
    const timer = setInterval(() => options.progress?.(Math.round((Date.now() - startMs) / 1_000), total()), progressMs);
    const others = new AbortController();
    const outside = options.maildirs === undefined ? undefined : playOtherPrograms(options.maildirs, ledgers, options.seed, others.signal);
    const plays = Object.entries(options.sidePlays ?? {}).map(async ([name, play], index) => {
      const random = seededRandom(options.seed * 1_000 + 900 + index);
      const trace = options.trace === undefined ? undefined : (line: string) => options.trace?.(name, line);
      beside += await play({ random, signal: others.signal, fail: (reason) => verdict.fail(`${name}, ${reason}`), trace });
    });
    // Judged below; without this it would be nobody's if it failed first.
    for (const play of plays) play.catch(() => undefined);
    const work = Promise.all(
      sessions.map(async (session) => {
        for (let count = 0; options.steps === undefined ? Date.now() < untilMs : count < options.steps; count++) {
          if (verdict.failure !== undefined) return;
          await step(session).catch((error: unknown) => {
            throw verdict.of(error, session);
          });
        }
      }),
    );
    await work.finally(async () => {
      clearInterval(timer);
      others.abort();
      await outside;
    });
    await Promise.all(plays);
    const witness = await connect(witnessIndex);
    for (const ledger of ledgers) await reconcile(witness, ledger, sessions, options.maildirs?.[ledger.name]);
    await checkUsage(witness);
    return {
      commands: total(),
      messages: ledgers.reduce((sum, { messages }) => sum + messages.size, 0),
    };
  } catch (error) {
    throw verdict.of(error);
  } finally {
    for (const client of clients) client.close();
  }
}

/** All is quiet now: a fresh session, all old ones and the folder agree with everything acknowledged. */
async function reconcile(
  witness: StressSession,
  ledger: MailboxLedger,
  sessions: readonly StressSession[],
  maildir: string | undefined,
): Promise<void> {
  await witness.select(ledger, true);
  const { view } = witness;
  if (view === undefined) return;
  if (view.messages.length > 0) await witness.run('UID FETCH 1:* (FLAGS MODSEQ BODY.PEEK[])');
  const bodies = new Map(view.fetched.map(({ message, items }) => [message.uid, String(items.get('BODY[]'))]));
  for (const message of view.messages) {
    const facts = ledger.facts(message.uid);
    const flags = new Set(message.flags?.split(' '));
    const subject = /^Subject: (\S+)\r\n/m.exec(bodies.get(message.uid) ?? '')?.[1];
    if (!facts.isAcknowledged && !ledger.delivered.has(subject ?? ''))
      witness.fail(`nobody saved UID ${message.uid} of ${ledger.name}, Subject ${subject}`);
    if (facts.goneSince !== undefined)
      witness.fail(`UID ${message.uid} of ${ledger.name} is there although it was gone (${facts.whyGone})`);
    for (const flag of allFlags)
      if (!ledger.canBe(facts, flag, flags.has(flag)))
        witness.fail(`UID ${message.uid} of ${ledger.name} has (${message.flags}); an acknowledged change of ${flag} is lost`);
    // A copy of a message that nobody had looked at yet.
    facts.token ??= subject;
    if (bodies.get(message.uid) !== messageOf(facts.token ?? ''))
      witness.fail(`UID ${message.uid} of ${ledger.name} is not ${facts.token}`);
  }
  const present = new Map(view.messages.map((message) => [message.uid, message.flags]));
  for (const facts of ledger.messages.values())
    if (facts.isAcknowledged && !facts.mayBeGone && !present.has(facts.uid)) witness.fail(`UID ${facts.uid} of ${ledger.name} is lost`);
  checkDeliveries(witness, ledger);
  await checkStatus(witness, ledger, present);
  for (const session of sessions) if (session !== witness) await agree(session, ledger, present);
  if (maildir !== undefined) await checkFiles(witness, maildir, bodies, present);
}

/** Every UID that no command was told of belongs to a message from outside, and every such message had one. */
function checkDeliveries(witness: StressSession, ledger: MailboxLedger): void {
  const highest = Math.max(ledger.uidNext - 1, ...ledger.messages.keys());
  const unclaimed: number[] = [];
  for (let uid = 1; uid <= highest; uid++) if (!ledger.facts(uid).isAcknowledged) unclaimed.push(uid);
  const seen = new Set(unclaimed.map((uid) => ledger.facts(uid).token));
  const unseen = [...ledger.delivered].filter((token) => !seen.has(token));
  const nameless = unclaimed.filter((uid) => ledger.facts(uid).token === undefined).length;
  if (unseen.length > nameless) witness.fail(`${unseen.slice(0, 9)} were delivered to ${ledger.name} and never seen`);
  if (unclaimed.length < ledger.delivered.size)
    witness.fail(`${ledger.delivered.size} messages were delivered to ${ledger.name}, ${unclaimed.length} UIDs are for them`);
}

async function checkStatus(witness: StressSession, ledger: MailboxLedger, present: ReadonlyMap<number, string | undefined>): Promise<void> {
  await witness.run(`STATUS ${ledger.name} (MESSAGES UNSEEN)`);
  const unseen = [...present.values()].filter((flags) => flags?.includes('\\Seen') !== true).length;
  const line = witness.lines.find((text) => text.startsWith('* STATUS ')) ?? '';
  if (!line.includes(`MESSAGES ${present.size}`) || !line.includes(`UNSEEN ${unseen}`))
    witness.fail(`${line}: there are ${present.size}, ${unseen} unseen`);
}

/** The usage of the quota (RFC 9208) is the sum over all mailboxes, those that came and went included. */
async function checkUsage(witness: StressSession): Promise<void> {
  if (!witness.capabilities.has('QUOTA')) return;
  await witness.run('GETQUOTAROOT INBOX');
  const told = /\(STORAGE (\d+) \d+ MESSAGE (\d+) \d+\)$/.exec(witness.lines.find((line) => line.startsWith('* QUOTA ')) ?? '');
  if (told === null) return;
  await witness.run('LIST "" "*" RETURN (STATUS (MESSAGES SIZE))');
  const sum = (name: string): number =>
    witness.lines.reduce((total, line) => total + Number(new RegExp(`^\\* STATUS .*\\b${name} (\\d+)`).exec(line)?.[1] ?? 0), 0);
  const [size, messages] = [sum('SIZE'), sum('MESSAGES')];
  if (Number(told[2]) !== messages || Number(told[1]) !== Math.ceil(size / 1_024))
    witness.fail(`there are ${messages} messages of ${size} octets; the quota says ${told[0]}`);
}

/** A session that asks for news has, with what it was told before, the same mailbox as the witness. */
async function agree(session: StressSession, ledger: MailboxLedger, present: ReadonlyMap<number, string | undefined>): Promise<void> {
  if (session.view?.ledger !== ledger) return agreeStatus(session, ledger, present.size);
  await session.run('NOOP');
  // Without sequence numbers a client cannot say where the messages stand that it knows nothing of.
  if (session.profile.isUidOnly) await session.learnUids(session.view);
  const { messages } = session.view;
  if (messages.length !== present.size) session.fail(`has ${messages.length} messages of ${ledger.name}, a fresh session ${present.size}`);
  [...present].forEach(([uid, flags], index) => {
    const message = messages[index];
    if (message === undefined || (message.uid !== 0 && message.uid !== uid))
      session.fail(`message ${index + 1} is UID ${message?.uid}, for a fresh session ${uid}`);
    if (message.flags !== undefined && message.flags !== flags)
      session.fail(`was told (${message.flags}) of UID ${uid}, a fresh session (${flags})`);
  });
  judgeKept(session, present);
}

/** Whoever asked for news of a mailbox that is not selected (RFC 5465) has them soon. */
async function agreeStatus(session: StressSession, ledger: MailboxLedger, count: number): Promise<void> {
  const isRight = (): boolean => {
    const line = session.statusTold.get(ledger.name);
    return line === undefined || (line.includes(`MESSAGES ${count}`) && line.includes(`UIDNEXT ${ledger.uidNext}`));
  };
  if (session.profile.notify === undefined) return;
  for (const untilMs = Date.now() + newsMs; !isRight() && Date.now() < untilMs; ) {
    await session.run('NOOP');
    await sleep(100);
  }
  if (!isRight()) session.fail(`was told ${session.statusTold.get(ledger.name)}, there are ${count}, UIDNEXT ${ledger.uidNext}`);
}

/** No file but the messages, each complete. */
async function checkFiles(
  witness: StressSession,
  maildir: string,
  bodies: ReadonlyMap<number, string>,
  present: ReadonlyMap<number, unknown>,
): Promise<void> {
  const { readFile } = await import('node:fs/promises');
  const files = (
    await Promise.all(
      ['cur', 'new'].map(async (folder) => (await readdir(join(maildir, folder))).map((name) => join(maildir, folder, name))),
    )
  ).flat();
  if (files.length !== present.size) witness.fail(`${maildir} has ${files.length} files for ${present.size} messages`);
  const wanted = [...bodies.values()].map((text) => text.replaceAll('\r\n', '\n')).sort();
  const got = (await Promise.all(files.map(async (file) => (await readFile(file, 'latin1')).replaceAll('\r\n', '\n')))).sort();
  wanted.forEach((text, index) => {
    if (text !== got[index]) witness.fail(`${maildir}: a file is not the message: ${got[index]?.slice(0, 100)}`);
  });
}
