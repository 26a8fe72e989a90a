// A real server under clients of all protocols while its processes are killed at random and its configuration is read again.
//
// Every connection that ends early is accounted for: by a refusal in words of the protocol, or by a kill of a process in its path shortly before.
// In the end each mailbox holds what was acknowledged: every message once, under its UID, with its flags.
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { askMaster } from '#ipc/master-client.js';
import { seededRandom } from '../stress/random.js';
import { LineClient } from '../support/line-client.js';
import { type RunningRoost, startRoost } from '../support/running-roost.js';

export interface SoakOptions {
  readonly seconds: number;
  readonly clients: number;
  readonly seed: number;
  /** Mean time between two kills. */
  readonly killEveryMs: number;
  readonly reloadEveryMs: number;
  /** `strict`: each login and each session has a process of its own (service_count = 1), copied from templates, which are killed as well. */
  readonly pools?: 'dense' | 'strict';
}

const pools = {
  dense: {
    'imap-login': { service_count: 0, process_min_avail: 2, process_limit: 4, client_limit: 500 },
    imap: { service_count: 0, client_limit: 25, process_limit: 40, process_min_avail: 1 },
  },
  strict: {
    'imap-login': { service_count: 1, process_min_avail: 4, process_limit: 500, client_limit: 1 },
    imap: { service_count: 1, process_min_avail: 2, process_limit: 500, client_limit: 1 },
  },
} as const;

export interface SoakResult {
  readonly appended: number;
  readonly delivered: number;
  readonly stored: number;
  readonly logins: number;
  readonly kills: Readonly<Record<string, number>>;
  readonly reloads: number;
  /** Connections that ended early, by what explains it. */
  readonly accounted: Readonly<Record<string, number>>;
  readonly problems: readonly string[];
}

interface Kill {
  readonly atMs: number;
  readonly service: string;
  readonly pid: number;
}

/** A message of which something was promised. */
interface Promised {
  readonly uid: number | undefined;
  readonly uidValidity: number | undefined;
  /** undefined when a change of flags was not answered. */
  flags: string | undefined;
}

/** One connection of a client, for finding out why it ended. */
interface Attempt {
  readonly kind: 'imap' | 'lmtp' | 'smtp';
  readonly openedAtMs: number;
  /** The client's port, by which the server's log names the connection. */
  port: number;
  /** From then on the process that broke off can only be the one that the log names. */
  isLoggedIn: boolean;
}

/** The server said no, in words. */
class Refused extends Error {}
/** The connection ended without words. */
class Broken extends Error {}

/** The server writes the line about a login at the end of the turn in which it happened; the test reads it when it gets to it. */
const loginLineMs = 2_000;
/** A killed process is being replaced; one that was killed at its start only after 2 s, or 4 (throttling). */
const refusalWindowMs = 15_000;
/** What a client may be told, and the processes whose end explains it. */
const refusals: readonly { readonly text: RegExp; readonly services: readonly string[] }[] = [
  { text: /^\S+ NO \[UNAVAILABLE\] Temporary authentication failure/, services: ['auth'] },
  { text: /^\S+ (NO|BYE) \[UNAVAILABLE\] Internal login failure/, services: ['auth', 'imap', 'imap-login'] },
  { text: /^451 4\.3\.0 .* Temporary internal error/, services: ['auth', 'deliver'] },
  // The process that delivers asks auth, too; its refusal is passed on like this.
  { text: /^451 4\.2\.0 .* Mailbox is not available/, services: ['deliver', 'auth'] },
];
/** At a reload recipients that wait for auth wait no longer. */
const endedLookup = /^451 4\.3\.0 .* Temporary internal error|^451 4\.2\.0 .* Mailbox is not available/;
const goodbye = /^(\* BYE \[UNAVAILABLE\]|421 4\.3\.2 \S+) Server shutting down/;
const password = 'secret';
/** As root, of every four users one has the first, one the second: imap, imap-hibernate and deliver run as them. The others share mail_uid. */
const ownUids = [20_101, 20_102];
/** A connection that a process has taken over from another one leaves a line. */
const takenOver = /: (?:Given back to imap|Passed to imap-hibernate) process (\d+)$/;

export class Soak {
  readonly #options: SoakOptions;
  readonly #random: (below: number) => number;
  readonly #users: readonly string[];
  /** By user, then by token. */
  readonly #promised = new Map<string, Map<string, Promised>>();
  readonly #kills: Kill[] = [];
  readonly #accounted: Record<string, number> = {};
  readonly #problems: string[] = [];
  #server: RunningRoost | undefined;
  #isOver = false;
  #made = 0;
  #logins = 0;
  #stored = 0;
  /** When. */
  readonly #reloads: number[] = [];

  constructor(options: SoakOptions) {
    this.#options = options;
    this.#random = seededRandom(options.seed);
    this.#users = Array.from({ length: Math.max(2, Math.ceil(options.clients / 8)) }, (_, index) => `user${index}`);
    for (const user of this.#users) this.#promised.set(user, new Map());
  }

  async run(): Promise<SoakResult> {
    const homes = mkdtempSync(join(tmpdir(), 'roost-soak-'));
    chmodSync(homes, 0o755);
    try {
      return await this.#run(homes);
    } finally {
      rmSync(homes, { recursive: true, force: true, maxRetries: 3 });
    }
  }

  async #run(homes: string): Promise<SoakResult> {
    const { seconds, clients } = this.#options;
    await using server = await startRoost({
      protocols: ['imap', 'lmtp', 'smtp'],
      users: Object.fromEntries(this.#users.map((user, index) => [user, passwdEntry(homes, user, index)])),
      settings: {
        mail_max_userip_connections: '0',
        auth_failure_delay: '0',
        login_log_format_elements: 'mpid=%e session=%{session} rport=%b',
        imap_hibernate_timeout: '200 ms',
        log_debug: 'category=imap',
        log_timestamp: '"%s "',
      },
      pools: {
        ...pools[this.#options.pools ?? 'dense'],
        lmtp: { process_limit: 4 },
        smtp: { process_limit: 4 },
      },
    });
    this.#server = server;
    const work = Array.from({ length: clients }, (_, index) => this.#client(index));
    const chaos = [this.#kill(), this.#reload()];
    await sleep(seconds * 1_000);
    this.#isOver = true;
    await Promise.all([...work, ...chaos]);
    for (const user of this.#users) await this.#verify(user);
    const kills: Record<string, number> = {};
    for (const { service } of this.#kills) kills[service] = (kills[service] ?? 0) + 1;
    const all = [...this.#promised.values()].flatMap((messages) => [...messages.values()]);
    const appended = all.filter(({ uid }) => uid !== undefined).length;
    return {
      appended,
      delivered: all.length - appended,
      stored: this.#stored,
      logins: this.#logins,
      kills,
      reloads: this.#reloads.length,
      accounted: this.#accounted,
      problems: this.#problems,
    };
  }

  get log(): string {
    return this.#server?.log ?? '';
  }

  get #running(): RunningRoost {
    if (this.#server === undefined) throw new Error('not started');
    return this.#server;
  }

  async #kill(): Promise<void> {
    while (!this.#isOver) {
      await sleep(1 + this.#random(2 * this.#options.killEveryMs));
      const reply = await askMaster(this.#running.baseDir, { command: 'process-status', services: [] }, { timeoutMs: 10_000 });
      const templates = reply.ok ? (reply.templates ?? []) : [];
      const processes: { readonly service: string; readonly pid: number }[] = [
        ...(reply.ok ? (reply.processes ?? []) : []),
        ...templates.map(({ service, pid }) => ({ service: `${service} template`, pid })),
      ];
      // Roles with few processes are hit as often as those with many.
      const services = [...new Set(processes.map(({ service }) => service))];
      const service = services[this.#random(services.length)];
      // A copy that waits for its template has no number yet, and 0 would be this process with all its group.
      const candidates = processes.filter((row) => row.service === service && row.pid > 0);
      const victim = candidates[this.#random(candidates.length)];
      if (victim === undefined || service === undefined) continue;
      try {
        process.kill(victim.pid, 'SIGKILL');
        this.#kills.push({ atMs: Date.now(), service, pid: victim.pid });
      } catch {
        // It ended by itself meanwhile.
      }
    }
  }

  async #reload(): Promise<void> {
    while (!this.#isOver) {
      await sleep(this.#options.reloadEveryMs);
      if (this.#isOver) return;
      process.kill(this.#running.pid, 'SIGHUP');
      this.#reloads.push(Date.now());
    }
  }

  async #client(index: number): Promise<void> {
    const user = this.#users[index % this.#users.length] ?? '';
    const random = seededRandom(this.#options.seed * 7_919 + index);
    const kind = index % 8 === 6 ? 'lmtp' : index % 8 === 7 ? 'smtp' : 'imap';
    while (!this.#isOver) {
      const attempt: Attempt = { kind, openedAtMs: Date.now(), port: 0, isLoggedIn: false };
      try {
        if (kind === 'imap') await this.#readMail(user, random, attempt);
        else await this.#deliver(kind, this.#users[random(this.#users.length)] ?? user, random, attempt);
      } catch (error) {
        await this.#account(error, attempt);
        await sleep(20 + random(100));
      }
    }
  }

  async #account(error: unknown, attempt: Attempt): Promise<void> {
    const nowMs = Date.now();
    const text = error instanceof Error ? error.message : String(error);
    let reason: string | undefined;
    if (error instanceof Refused) reason = this.#explainRefusal(text, attempt.openedAtMs);
    if (error instanceof Broken) reason = await this.#explainBreak(attempt, nowMs);
    if (reason !== undefined) {
      this.#accounted[reason] = (this.#accounted[reason] ?? 0) + 1;
      return;
    }
    const last = this.#kills.slice(-6).map(({ service, pid, atMs }) => `${service} ${pid} ${nowMs - atMs} ms ago`);
    const owners = attempt.isLoggedIn ? await this.#owners(attempt.port, attempt.openedAtMs) : [];
    const state = `${attempt.isLoggedIn ? `in process ${owners.join(', then ')}` : 'not logged in'} at ${nowMs}, port ${attempt.port}, open for ${nowMs - attempt.openedAtMs} ms`;
    this.#problems.push(`${attempt.kind} (${state}): ${text}, not explained by ${last.join(', ')}`);
  }

  /** What happened while the connection lasted, or so shortly before that it was not made good yet. */
  #explainRefusal(text: string, openedAtMs: number): string | undefined {
    const sinceMs = openedAtMs - refusalWindowMs;
    const shown = `refused: ${text
      .replace(/^\S+ (NO|BYE)/, '$1')
      .replace(/<\S+>|\[[^\]]*:\d\d\S*\]/g, '...')
      .slice(0, 75)}`;
    const services = refusals.find((refusal) => refusal.text.test(text))?.services ?? [];
    const isReload = goodbye.test(text) || endedLookup.test(text);
    if (isReload && this.#reloads.some((atMs) => atMs > sinceMs)) return shown;
    return this.#kills.some(({ atMs, service }) => atMs > sinceMs && services.includes(service)) ? shown : undefined;
  }

  /** A process that the connection went through was killed while the connection lasted. */
  async #explainBreak(attempt: Attempt, brokenAtMs: number): Promise<string | undefined> {
    const { kind, isLoggedIn, openedAtMs, port } = attempt;
    const killed = (matches: (kill: Kill) => boolean): Kill | undefined =>
      this.#kills.findLast((kill) => kill.atMs >= openedAtMs && kill.atMs <= brokenAtMs && matches(kill));
    if (!isLoggedIn) {
      const path = kind === 'imap' ? ['imap-login', 'imap'] : [kind];
      const kill = killed(({ service }) => path.includes(service));
      if (kill !== undefined) return `broken by a kill of ${kill.service} before login`.replace(/(lmtp|smtp) before.*/, '$1');
      return this.#wasCutOff(kind, openedAtMs, brokenAtMs) ? `cut off by ${kind} at the end of the grace time` : undefined;
    }
    let owners = await this.#owners(port, openedAtMs);
    if (owners.length > 0) {
      const killOfLast = (): Kill | undefined => killed(({ pid }) => pid === owners.at(-1));
      // The line of a move comes after it, so the end of the new process may be noticed before.
      for (const untilMs = Date.now() + loginLineMs; killOfLast() === undefined && Date.now() < untilMs; await sleep(20))
        owners = await this.#owners(port, openedAtMs);
      const kill = killOfLast();
      if (kill !== undefined) return `broken by the kill of its own ${kill.service} process`;
      // One that has passed it on just before its end has not always said so.
      return killed(({ pid }) => owners.includes(pid)) && killed(({ service }) => service === 'imap' || service === 'imap-hibernate')
        ? 'broken by a kill after a move that was not logged'
        : undefined;
    }
    // The login process was killed between the hand-off and the line about it.
    const wasSilenced = killed(({ service }) => service === 'imap-login') !== undefined;
    return wasSilenced && killed(({ service }) => service === 'imap') !== undefined ? 'broken by a kill of imap (not logged)' : undefined;
  }

  /** A reload gives sessions some seconds; one that waits longer (for a process that delivers, while starts are put off) is cut off, and counted in the log. */
  #wasCutOff(service: string, openedAtMs: number, brokenAtMs: number): boolean {
    return [...this.#running.log.matchAll(/^(\d+) (\S+): Warning: \d+ clients did not end in time and are cut off$/gm)].some(
      ([, seconds, name]) =>
        name === service && Number(seconds) * 1_000 >= openedAtMs - 1_000 && Number(seconds) * 1_000 <= brokenAtMs + 1_000,
    );
  }

  /** The processes that a connection was handed to, in turn, by the log. */
  async #owners(port: number, openedAtMs: number): Promise<readonly number[]> {
    for (const untilMs = Date.now() + loginLineMs; ; ) {
      const log = this.#running.log;
      const at = log.lastIndexOf(`, rport=${port}\n`);
      const from = log.lastIndexOf('\n', at) + 1;
      const [, pid] = at < 0 ? [] : (/Login: mpid=(\d+)/.exec(log.slice(from, at)) ?? []);
      // Ports are used again; a line of an earlier connection has another time.
      if (pid !== undefined && Number(/^(\d+) /.exec(log.slice(from, at))?.[1]) * 1_000 >= openedAtMs - 1_000) {
        const session = /, session=(\S+)$/.exec(log.slice(from, at))?.[1] ?? '';
        const moves = linesWith(log, `<${session}>: `, from).flatMap((line) => takenOver.exec(line)?.[1] ?? []);
        return [pid, ...moves].map(Number);
      }
      if (Date.now() > untilMs) return [];
      await sleep(20);
    }
  }

  async #open(port: number, attempt?: Attempt): Promise<LineClient> {
    const socket = connect(port, '127.0.0.1');
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      // Listening sockets are the master's, which nobody kills: there is no excuse for this.
      socket.once('error', (error) => reject(new Error(`connect: ${error.message}`)));
    });
    if (attempt !== undefined) attempt.port = socket.localPort ?? 0;
    return new LineClient(socket, 60_000);
  }

  /** Runs an IMAP command. @throws Refused, Broken */
  async #command(client: LineClient, text: string): Promise<string[]> {
    const tag = client.send(text);
    const lines: string[] = [];
    for (;;) {
      const line = await client.line();
      if (line === undefined) {
        // The goodbye of the server came in place of the one to LOGOUT.
        const last = lines.findLast((earlier) => goodbye.test(earlier));
        throw last === undefined ? new Broken(`closed in ${text.slice(0, 20)}`) : new Refused(last);
      }
      if (line.startsWith('* BYE') && !text.startsWith('LOGOUT')) throw new Refused(line);
      lines.push(line);
      if (!line.startsWith(`${tag} `)) continue;
      if (!line.startsWith(`${tag} OK`)) throw new Refused(line);
      return lines;
    }
  }

  async #login(user: string, attempt?: Attempt): Promise<LineClient> {
    const client = await this.#open(this.#running.ports.imap, attempt);
    const greeting = await client.line();
    if (greeting === undefined) throw new Broken('closed before the greeting');
    if (!greeting.startsWith('* OK')) throw new Refused(greeting);
    await this.#command(client, `LOGIN ${user} ${password}`);
    if (attempt !== undefined) attempt.isLoggedIn = true;
    return client;
  }

  async #readMail(user: string, random: (below: number) => number, attempt: Attempt): Promise<void> {
    const client = await this.#login(user, attempt);
    try {
      this.#logins += 1;
      await this.#command(client, 'SELECT INBOX');
      const own: number[] = [];
      for (let step = 1 + random(8); step > 0 && !this.#isOver; step--) {
        const choice = random(10);
        if (choice < 4) own.push(await this.#append(client, user, random));
        else if (choice < 7) await this.#store(client, user, own[random(Math.max(1, own.length))], random);
        else if (choice < 8) await this.#command(client, 'UID FETCH 1:* FLAGS');
        else if (choice < 9) await this.#command(client, 'NOOP');
        else await this.#idle(client, random);
      }
      await this.#command(client, 'LOGOUT');
    } finally {
      client.close();
    }
  }

  #token(): string {
    this.#made += 1;
    return `soak-${this.#made}`;
  }

  #messages(user: string): Map<string, Promised> {
    return this.#promised.get(user) ?? new Map();
  }

  async #append(client: LineClient, user: string, random: (below: number) => number): Promise<number> {
    const token = this.#token();
    const text = `Subject: ${token}\r\n\r\n${'text '.repeat(random(300))}\r\n`;
    const lines = await this.#command(client, `APPEND INBOX (\\Draft) {${text.length}+}\r\n${text}`);
    const code = /APPENDUID (\d+) (\d+)/.exec(lines.at(-1) ?? '');
    const uid = Number(code?.[2]);
    this.#messages(user).set(token, { uid, uidValidity: Number(code?.[1]), flags: '\\Draft' });
    return uid;
  }

  async #store(client: LineClient, user: string, uid: number | undefined, random: (below: number) => number): Promise<void> {
    const message = [...this.#messages(user).values()].find((known) => known.uid === uid);
    if (uid === undefined || message === undefined) return;
    const flags = ['\\Answered', '\\Flagged', '\\Seen', 'kw1'].filter(() => random(2) === 0).join(' ');
    message.flags = undefined;
    await this.#command(client, `UID STORE ${uid} FLAGS (${flags})`);
    message.flags = flags;
    this.#stored += 1;
  }

  async #idle(client: LineClient, random: (below: number) => number): Promise<void> {
    const tag = client.send('IDLE');
    for (;;) {
      const line = await client.line();
      if (line === undefined) throw new Broken('closed in IDLE');
      if (line.startsWith('* BYE')) throw new Refused(line);
      // Some last until the session has moved to imap-hibernate and longer.
      if (line.startsWith('+')) setTimeout(() => client.raw('DONE\r\n'), random(random(3) === 0 ? 4_000 : 300));
      if (line.startsWith(`${tag} `)) return;
    }
  }

  async #deliver(kind: 'lmtp' | 'smtp', user: string, random: (below: number) => number, attempt: Attempt): Promise<void> {
    const client = await this.#open(this.#running.ports[kind], attempt);
    const reply = async (what: string, wanted: string): Promise<void> => {
      for (;;) {
        const line = await client.line();
        if (line === undefined) throw new Broken(`closed in ${what}`);
        if (line[3] === '-') continue;
        if (!line.startsWith(wanted)) throw new Refused(line);
        return;
      }
    };
    const say = (line: string, wanted: string): Promise<void> => {
      client.raw(`${line}\r\n`);
      return reply(line.slice(0, 20), wanted);
    };
    try {
      await reply('greeting', '220');
      await say(kind === 'lmtp' ? 'LHLO soak' : 'EHLO soak', '250');
      for (let count = 1 + random(4); count > 0; count--) {
        const token = this.#token();
        await say('MAIL FROM:<soak@example.com>', '250');
        await say(`RCPT TO:<${user}@localhost>`, '250');
        await say('DATA', '354');
        await say(`Subject: ${token}\r\n\r\n${'text '.repeat(random(300))}\r\n.`, '250');
        this.#messages(user).set(token, { uid: undefined, uidValidity: undefined, flags: '' });
        await sleep(random(50));
      }
      await say('QUIT', '221');
    } finally {
      client.close();
    }
  }

  /** All is quiet: what a fresh session sees against what was promised. */
  async #verify(user: string): Promise<void> {
    const client = await this.#patientLogin(user);
    try {
      const selected = await this.#command(client, 'SELECT INBOX');
      const uidValidity = Number(/UIDVALIDITY (\d+)/.exec(selected.join('\n'))?.[1]);
      const count = Number(/\* (\d+) EXISTS/.exec(selected.join('\n'))?.[1]);
      const lines = count === 0 ? [] : await this.#command(client, 'FETCH 1:* (UID FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])');
      const found = new Map<string, { readonly uid: number; readonly flags: string }>();
      for (const line of lines.filter((text) => text.includes(' FETCH '))) {
        const token = /Subject: (\S+)\r\n/.exec(line)?.[1] ?? '';
        if (found.has(token)) this.#problems.push(`${token} of ${user} is there twice`);
        const flags = /FLAGS \(([^)]*)\)/.exec(line)?.[1] ?? '';
        found.set(token, { uid: Number(/UID (\d+)/.exec(line)?.[1]), flags: sorted(flags) });
      }
      for (const [token, promised] of this.#messages(user)) {
        const message = found.get(token);
        if (message === undefined)
          this.#problems.push(`${token} of ${user} is lost (${promised.uid === undefined ? 'delivered' : `UID ${promised.uid}`})`);
        else if (promised.uid !== undefined && promised.uid !== message.uid)
          this.#problems.push(`${token} of ${user} had UID ${promised.uid}, now ${message.uid}`);
        else if (promised.flags !== undefined && sorted(promised.flags) !== message.flags)
          this.#problems.push(`${token} of ${user} had (${promised.flags}), now (${message.flags})`);
        if (promised.uidValidity !== undefined && promised.uidValidity !== uidValidity)
          this.#problems.push(`UIDVALIDITY of ${user} was ${promised.uidValidity}, is ${uidValidity}`);
      }
    } finally {
      client.close();
    }
  }

  /** The last kills are still being made good. */
  async #patientLogin(user: string): Promise<LineClient> {
    const untilMs = Date.now() + 30_000;
    for (;;) {
      try {
        return await this.#login(user);
      } catch (error) {
        if (Date.now() > untilMs) throw error;
        await sleep(100);
      }
    }
  }
}

/** Fields of the passwd-file after the name. */
function passwdEntry(homes: string, user: string, index: number): string {
  const uid = process.getuid?.() === 0 ? ownUids[index % 4] : undefined;
  if (uid === undefined) return password;
  const home = join(homes, user);
  mkdirSync(home, { mode: 0o700 });
  chownSync(home, uid, uid);
  return `{PLAIN}${password}:${uid}:${uid}::${home}::`;
}

function linesWith(text: string, part: string, from: number): string[] {
  const lines: string[] = [];
  for (let at = text.indexOf(part, from); at >= 0; at = text.indexOf(part, at + part.length)) {
    const end = text.indexOf('\n', at);
    lines.push(text.slice(text.lastIndexOf('\n', at) + 1, end < 0 ? undefined : end));
  }
  return lines;
}

function sorted(flags: string): string {
  return flags
    .split(' ')
    .filter((flag) => flag !== '' && flag !== '\\Recent')
    .sort()
    .join(' ');
}
