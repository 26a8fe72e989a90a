// Plays many sessions at once, then asks whether what everybody was told is what there is.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { LineClient } from '../support/line-client.js';
import { allFlags, Clock, MailboxLedger } from './ledger.js';
import { messageOf } from './messages.js';
import { seededRandom } from './random.js';
import { StressSession } from './session.js';

export interface StressOptions {
  readonly seed: number;
  readonly sessions: number;
  /** The run ends after this time or, without it, after `steps` commands of each session. */
  readonly seconds?: number;
  readonly steps?: number;
  /** Shared by all sessions; they exist and are empty. */
  readonly mailboxes: readonly string[];
  /** See SessionOptions; true unless told. */
  readonly isStrict?: boolean;
  readonly connect: (index: number) => Promise<LineClient>;
  /** Folder of each mailbox, where the checker can read it. */
  readonly maildirs?: Readonly<Record<string, string>>;
  /** What the processes of the server are doing, for the report. */
  readonly states?: () => string;
}

export interface StressResult {
  readonly commands: number;
  readonly messages: number;
}

export class StressFailure extends Error {
  override readonly name = 'StressFailure';
}

/** @throws StressFailure with the seed and the last lines of every session */
export async function runStress(options: StressOptions): Promise<StressResult> {
  const sessions: StressSession[] = [];
  const clients: LineClient[] = [];
  let failure: StressFailure | undefined;
  const fail = (reason: string): never => {
    failure ??= new StressFailure(
      `${reason}\n\nROOST_STRESS_SEED=${options.seed} ROOST_STRESS_SESSIONS=${options.sessions}\n\n${histories(sessions, reason)}`,
    );
    throw failure;
  };
  const clock = new Clock();
  const ledgers = options.mailboxes.map((name) => new MailboxLedger(name, clock, fail));
  const connect = async (index: number): Promise<StressSession> => {
    const client = await options.connect(index);
    clients.push(client);
    const random = seededRandom(options.seed * 1_000 + index);
    const session = new StressSession(client, {
      name: `s${index}`,
      random,
      ledgers,
      isQresync: index % 3 === 1,
      isStrict: options.isStrict ?? true,
      fail,
    });
    sessions.push(session);
    await session.start();
    return session;
  };
  try {
    await Promise.all(Array.from({ length: options.sessions }, (_, index) => connect(index)));
    const untilMs = Date.now() + (options.seconds ?? 0) * 1_000;
    await Promise.all(
      sessions.map(async (session) => {
        for (let step = 0; options.steps === undefined ? Date.now() < untilMs : step < options.steps; step++) {
          if (failure !== undefined) return;
          await session.step();
        }
      }),
    );
    const witness = await connect(options.sessions);
    for (const ledger of ledgers) await reconcile(witness, ledger, sessions, options.maildirs?.[ledger.name]);
    return {
      commands: sessions.reduce((sum, { commands }) => sum + commands, 0),
      messages: ledgers.reduce((sum, { messages }) => sum + messages.size, 0),
    };
  } catch (error) {
    if (failure !== undefined || !(error instanceof Error)) throw failure ?? error;
    return fail(`${error.stack ?? error.message}\n${options.states?.() ?? ''}`);
  } finally {
    for (const client of clients) client.close();
  }
}

function histories(sessions: readonly StressSession[], reason: string): string {
  const uid = /UID (\d+)/.exec(reason)?.[1];
  return sessions
    .map((session) => {
      const last = session.history.slice(reason.startsWith(`${session.name}:`) ? -40 : -12);
      // What was said about the message in question may be further back.
      const about = uid === undefined ? [] : session.journal.filter((line) => new RegExp(`\\b${uid}\\b|NO \\[`).test(line)).slice(-12);
      return `--- ${session.name}${about.length > 0 ? `\nabout UID ${uid}:\n${about.join('\n')}\nlast:` : ''}\n${last.join('\n')}`;
    })
    .join('\n');
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
    if (!facts.isAcknowledged)
      witness.fail(
        `nobody saved UID ${message.uid} of ${ledger.name}, Subject ${/^Subject: (\S+)\r\n/m.exec(bodies.get(message.uid) ?? '')?.[1]}`,
      );
    if (facts.goneSince !== undefined)
      witness.fail(`UID ${message.uid} of ${ledger.name} is there although it was gone (${facts.whyGone})`);
    for (const flag of allFlags)
      if (!ledger.canBe(facts, flag, flags.has(flag)))
        witness.fail(`UID ${message.uid} of ${ledger.name} has (${message.flags}); an acknowledged change of ${flag} is lost`);
    // A copy of a message that nobody had looked at yet.
    facts.token ??= /^Subject: (\S+)\r\n/m.exec(bodies.get(message.uid) ?? '')?.[1];
    if (bodies.get(message.uid) !== messageOf(facts.token ?? ''))
      witness.fail(`UID ${message.uid} of ${ledger.name} is not ${facts.token}`);
  }
  const present = new Map(view.messages.map((message) => [message.uid, message.flags]));
  for (const facts of ledger.messages.values())
    if (facts.isAcknowledged && !facts.mayBeGone && !present.has(facts.uid)) witness.fail(`UID ${facts.uid} of ${ledger.name} is lost`);
  await checkStatus(witness, ledger, present);
  for (const session of sessions) if (session !== witness) await agree(session, ledger, present);
  if (maildir !== undefined) await checkFiles(witness, maildir, bodies, present);
}

async function checkStatus(witness: StressSession, ledger: MailboxLedger, present: ReadonlyMap<number, string | undefined>): Promise<void> {
  await witness.run(`STATUS ${ledger.name} (MESSAGES UNSEEN)`);
  const unseen = [...present.values()].filter((flags) => flags?.includes('\\Seen') !== true).length;
  const line = witness.lines.find((text) => text.startsWith('* STATUS ')) ?? '';
  if (!line.includes(`MESSAGES ${present.size}`) || !line.includes(`UNSEEN ${unseen}`))
    witness.fail(`${line}: there are ${present.size}, ${unseen} unseen`);
}

/** A session that asks for news has, with what it was told before, the same mailbox as the witness. */
async function agree(session: StressSession, ledger: MailboxLedger, present: ReadonlyMap<number, string | undefined>): Promise<void> {
  if (session.view?.ledger !== ledger) return;
  await session.run('NOOP');
  const { messages } = session.view;
  if (messages.length !== present.size) session.fail(`has ${messages.length} messages of ${ledger.name}, a fresh session ${present.size}`);
  [...present].forEach(([uid, flags], index) => {
    const message = messages[index];
    if (message === undefined || (message.uid !== 0 && message.uid !== uid))
      session.fail(`message ${index + 1} is UID ${message?.uid}, for a fresh session ${uid}`);
    if (message.flags !== undefined && message.flags !== flags)
      session.fail(`was told (${message.flags}) of UID ${uid}, a fresh session (${flags})`);
  });
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
