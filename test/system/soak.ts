// A real server under clients of all protocols, plain and with TLS, while its processes are killed at random and its configuration is read again.
//
// Every connection that ends early is accounted for: by a refusal in words of the protocol, or by a kill of a process in its path shortly before.
// In the end each mailbox holds what was acknowledged: every message once, under its UID, with its flags.
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { askMaster } from '#ipc/master-client.js';
import { seededRandom } from '../stress/random.js';
import { freePorts } from '../support/free-port.js';
import { patienceMs } from '../support/patience.js';
import { type RunningRoost, startRoost } from '../support/running-roost.js';
import { SoakAccounting } from './soak-accounting.js';
import type { Attempt, SoakKind } from './soak-attempt.js';
import { SoakConnection } from './soak-connection.js';
import { deliver } from './soak-delivery.js';
import { SoakFiles } from './soak-files.js';
import { ImapWork, imapCommand, imapLogin } from './soak-imap.js';
import { SoakMail, tokenNamedIn } from './soak-mail.js';
import { makeNappingPrograms } from './soak-naps.js';
import { pop3Login, pop3Work } from './soak-pop3.js';
import { maildirOf, ownUidOf, passwdEntry, soakPassword } from './soak-users.js';

export interface SoakOptions {
  readonly seconds: number;
  /** It goes on beyond `seconds`, for two minutes at most and with kills further and further apart, until clients have come so far; on a slow machine little gets done between kills. */
  readonly until?: (progress: SoakProgress) => boolean;
  readonly clients: number;
  readonly seed: number;
  /** Mean time between two kills. */
  readonly killEveryMs: number;
  readonly reloadEveryMs: number;
  /** Sessions go on over reloads (shutdown_clients = no), and none of them explains the end of a connection, or a refusal. */
  readonly keepsSessions?: boolean;
  /** Mean time between two connections of a client: with a process for each, starting them takes most of the machine. 0 unless told. */
  readonly pauseMs?: number;
  /** `strict`: each login and each session has a process of its own (service_count = 1), copied from templates, which are killed as well. */
  readonly pools?: 'dense' | 'strict';
  /** How often calls of the file system are put off (soak-naps.ts): 0 to 1; 0 unless told. */
  readonly naps?: number;
  /** One for every eight clients unless told, and two at least: the fewer, the more clients meet in one mailbox. */
  readonly users?: number;
  /** The mail services have listeners of their own as well, which a quarter of their clients use. */
  readonly hasDirect?: boolean;
}

const pools = {
  dense: {
    'imap-login': { service_count: 0, process_min_avail: 2, process_limit: 4, client_limit: 500 },
    imap: { service_count: 0, client_limit: 25, process_limit: 40, process_min_avail: 1 },
    'pop3-login': { service_count: 0, process_limit: 2, client_limit: 500 },
    pop3: { service_count: 0, client_limit: 25, process_limit: 20 },
  },
  strict: {
    'imap-login': { service_count: 1, process_min_avail: 4, process_limit: 500, client_limit: 1 },
    imap: { service_count: 1, process_min_avail: 2, process_limit: 500, client_limit: 1 },
    'pop3-login': { service_count: 1, process_min_avail: 1, process_limit: 100, client_limit: 1 },
    pop3: { service_count: 1, process_limit: 100, client_limit: 1 },
  },
} as const;

export interface SoakProgress {
  readonly appended: number;
  readonly delivered: number;
  readonly stored: number;
  readonly deleted: number;
  readonly logins: number;
  /** Connections with TLS that got as far as they wanted. */
  readonly secured: number;
  readonly kills: Readonly<Record<string, number>>;
}

export interface SoakResult extends SoakProgress {
  readonly reloads: number;
  readonly accounted: Readonly<Record<string, number>>;
  readonly problems: readonly string[];
  /** What happened to the messages that the problems name. */
  readonly stories: readonly string[];
}

const mostStories = 5;
const extensionMs = 1_000;
const longestExtensionMs = 120_000;
const slowestKillEveryMs = 3_000;
const listenerNames = ['imap', 'imaps', 'pop3', 'pop3s', 'smtps', 'lmtps'] as const;
/** Clients by their number, eight and eight. */
const kinds: readonly SoakKind[] = ['imap', 'imap', 'imap', 'imap', 'imap', 'pop3', 'lmtp', 'smtp'];

export class Soak {
  readonly #options: SoakOptions;
  readonly #random: (below: number) => number;
  readonly #users: readonly string[];
  readonly #mail: SoakMail;
  readonly #accounting = new SoakAccounting(() => this.log);
  /** Of direct mode, and for deliveries with TLS from the first octet. */
  readonly #extraPorts = freePorts(listenerNames);
  readonly #tickets: Buffer[] = [];
  readonly #files = new SoakFiles();
  /** Of users with uids of their own. */
  #homes = '';
  #server: RunningRoost | undefined;
  #isOver = false;
  #killEveryMs: number;
  #reloads = 0;
  #logins = 0;
  #stored = 0;
  #secured = 0;

  constructor(options: SoakOptions) {
    this.#options = options;
    this.#killEveryMs = options.killEveryMs;
    this.#random = seededRandom(options.seed);
    this.#users = Array.from({ length: options.users ?? Math.max(2, Math.ceil(options.clients / 8)) }, (_, index) => `user${index}`);
    this.#mail = new SoakMail(this.#users);
  }

  async run(): Promise<SoakResult> {
    this.#homes = mkdtempSync(join(tmpdir(), 'roost-soak-'));
    chmodSync(this.#homes, 0o755);
    try {
      return await this.#run();
    } finally {
      this.#files.close();
      rmSync(this.#homes, { recursive: true, force: true, maxRetries: 3 });
    }
  }

  async #run(): Promise<SoakResult> {
    const { seconds, clients, until, naps = 0 } = this.#options;
    await using server = await startRoost({
      programs: naps > 0 ? makeNappingPrograms(this.#homes, naps) : undefined,
      protocols: ['imap', 'pop3', 'lmtp', 'smtp'],
      users: Object.fromEntries(this.#users.map((user, index) => [user, passwdEntry(this.#homes, user, index)])),
      settings: {
        mail_max_userip_connections: '0',
        auth_failure_delay: '0',
        login_log_format_elements: 'mpid=%e lpid=%p session=%{session} lport=%a rport=%b',
        imap_hibernate_timeout: '200 ms',
        shutdown_clients: this.#options.keepsSessions === true ? 'no' : 'yes',
        // Flags are what IMAP clients have set.
        pop3_no_flag_updates: 'yes',
        log_debug: 'category=imap',
        log_timestamp: '"%s "',
      },
      pools: {
        ...pools[this.#options.pools ?? 'dense'],
        lmtp: { process_limit: 4 },
        smtp: { process_limit: 4 },
      },
      extra: this.#listeners(),
    });
    this.#server = server;
    const work = Array.from({ length: clients }, (_, index) => this.#client(index));
    const chaos = [this.#kill(), this.#reload()];
    await sleep(seconds * 1_000);
    for (let turn = 0; turn < longestExtensionMs / extensionMs && until?.(this.#progress()) === false; turn++) {
      this.#killEveryMs = Math.min(1.2 * this.#killEveryMs, slowestKillEveryMs);
      await sleep(extensionMs);
    }
    this.#isOver = true;
    await Promise.all([...work, ...chaos]);
    for (const user of this.#users) await this.#verify(user);
    return {
      ...this.#progress(),
      reloads: this.#reloads,
      accounted: this.#accounting.accounted,
      problems: this.#accounting.problems,
      stories: this.#stories(),
    };
  }

  /** Of the messages with which something is wrong. */
  #stories(): readonly string[] {
    const { kills, reloads, problems } = this.#accounting;
    const disturbances = [
      ...kills.map(({ atMs, service, pid }) => ({ atMs, text: `kill of ${service} ${pid}` })),
      ...reloads.map((atMs) => ({ atMs, text: 'reload' })),
    ];
    const tokens = new Set(problems.flatMap((problem) => tokenNamedIn(problem) ?? []));
    return [...tokens].slice(0, mostStories).map((token) => {
      const user = this.#users.find((name) => this.#mail.of(name).has(token)) ?? '';
      return this.#mail.stories.tell(token, { user, files: this.#files.of(user, token), disturbances, log: this.log });
    });
  }

  #progress(): SoakProgress {
    const kills: Record<string, number> = {};
    for (const { service } of this.#accounting.kills) kills[service] = (kills[service] ?? 0) + 1;
    const { all } = this.#mail;
    const appended = all.filter(({ uid }) => uid !== undefined).length;
    return {
      appended,
      delivered: all.length - appended,
      stored: this.#stored,
      deleted: all.filter(({ fate }) => fate === 'gone').length,
      logins: this.#logins,
      secured: this.#secured,
      kills,
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
      await this.#rest(1 + this.#random(Math.round(2 * this.#killEveryMs)));
      if (this.#isOver) return;
      const reply = await askMaster(this.#running.baseDir, { command: 'process-status', services: [] }, { timeoutMs: patienceMs });
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
        this.#accounting.kills.push({ atMs: Date.now(), service, pid: victim.pid });
      } catch {
        // It ended by itself meanwhile.
      }
    }
  }

  async #reload(): Promise<void> {
    while (!this.#isOver) {
      await this.#rest(this.#options.reloadEveryMs);
      if (this.#isOver) return;
      process.kill(this.#running.pid, 'SIGHUP');
      this.#reloads += 1;
      if (this.#options.keepsSessions !== true) this.#accounting.reloads.push(Date.now());
    }
  }

  async #client(index: number): Promise<void> {
    const user = this.#users[index % this.#users.length] ?? '';
    const random = seededRandom(this.#options.seed * 7_919 + index);
    const kind = kinds[index % kinds.length] ?? 'imap';
    while (!this.#isOver) {
      await this.#rest(random(1 + 2 * (this.#options.pauseMs ?? 0)));
      const security = (['plain', 'plain', 'starttls', 'tls'] as const)[random(4)] ?? 'plain';
      const isDirect = this.#mayUseDirect(index) && random(4) === 0 && (kind === 'imap' || kind === 'pop3');
      const attempt: Attempt = {
        kind,
        security,
        isDirect,
        openedAtMs: Date.now(),
        port: 0,
        serverPort: 0,
        isLoggedIn: false,
        tlsError: undefined,
      };
      try {
        await this.#work(kind === 'imap' || kind === 'pop3' ? user : (this.#users[random(this.#users.length)] ?? user), random, attempt);
        if (security !== 'plain') this.#secured += 1;
      } catch (error) {
        await this.#accounting.account(error, attempt);
        await sleep(20 + random(100));
      }
    }
  }

  /** To the end of the soak at most. */
  async #rest(ms: number): Promise<void> {
    const untilMs = Date.now() + ms;
    for (let leftMs = ms; leftMs > 0 && !this.#isOver; leftMs = untilMs - Date.now()) await sleep(Math.min(1_000, leftMs));
  }

  /** Processes in direct mode serve whoever they run as, mail_uid. */
  #mayUseDirect(client: number): boolean {
    return this.#options.hasDirect === true && ownUidOf(client % this.#users.length) === undefined;
  }

  /** One connection from its begin to its orderly end. @throws Refused, Broken */
  async #work(user: string, random: (below: number) => number, attempt: Attempt): Promise<void> {
    const { kind, security } = attempt;
    const connection = await SoakConnection.open(this.#port(attempt), attempt, random(2) === 0 ? this.#tickets.at(-1) : undefined);
    const withStartTls = security === 'starttls';
    const mailbox = this.#mail.by(user, attempt);
    this.#files.watch(user, maildirOf(user, this.#homes, this.#running));
    try {
      if (kind === 'lmtp' || kind === 'smtp') {
        await deliver(connection, { hello: kind === 'lmtp' ? 'LHLO' : 'EHLO', mailbox, withStartTls }, random);
        return;
      }
      await (kind === 'imap' ? imapLogin : pop3Login)(connection, user, soakPassword, withStartTls);
      attempt.isLoggedIn = true;
      this.#logins += 1;
      if (kind === 'pop3') await pop3Work(connection.client, mailbox, random);
      else await this.#imapWork(new ImapWork(connection.client, mailbox, random));
    } finally {
      connection.close();
      if (connection.ticket !== undefined) this.#tickets.splice(0, 1, connection.ticket);
    }
  }

  async #imapWork(work: ImapWork): Promise<void> {
    try {
      await work.run(() => this.#isOver);
    } finally {
      this.#stored += work.stored;
    }
  }

  #port({ kind, security, isDirect }: Attempt): number {
    const { ports } = this.#running;
    if (kind === 'lmtp' || kind === 'smtp') return security === 'tls' ? this.#extraPorts[`${kind}s`] : ports[kind];
    const name = security === 'tls' ? (`${kind}s` as const) : kind;
    return (isDirect ? this.#extraPorts : ports)[name];
  }

  /** Configuration of the listeners that the suite's servers do not have. */
  #listeners(): string {
    const names: Readonly<Record<string, readonly (typeof listenerNames)[number][]>> = {
      smtp: ['smtps'],
      lmtp: ['lmtps'],
      ...(this.#options.hasDirect === true ? { imap: ['imap', 'imaps'], pop3: ['pop3', 'pop3s'] } : {}),
    };
    const listener = (name: (typeof listenerNames)[number]): string =>
      `  inet_listener ${name} {\n    port = ${this.#extraPorts[name]}\n${name.endsWith('s') ? '    ssl = yes\n' : ''}  }\n`;
    return Object.entries(names)
      .map(([service, own]) => `service ${service} {\n${own.map(listener).join('')}}\n`)
      .join('');
  }

  /** All is quiet: what a fresh session sees against what was promised. */
  async #verify(user: string): Promise<void> {
    const connection = await this.#patientLogin(user);
    try {
      const selected = await imapCommand(connection.client, 'SELECT INBOX');
      const uidValidity = Number(/UIDVALIDITY (\d+)/.exec(selected.join('\n'))?.[1]);
      const count = Number(/\* (\d+) EXISTS/.exec(selected.join('\n'))?.[1]);
      const fetch = 'FETCH 1:* (UID FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])';
      const lines = count === 0 ? [] : await imapCommand(connection.client, fetch);
      const found = lines.filter((text) => text.includes(' FETCH '));
      this.#accounting.problems.push(...this.#mail.compare(user, uidValidity, found));
    } finally {
      connection.close();
    }
  }

  /** The last kills are still being made good. */
  async #patientLogin(user: string): Promise<SoakConnection> {
    const untilMs = Date.now() + 30_000;
    for (;;) {
      const attempt: Attempt = {
        kind: 'imap',
        security: 'plain',
        isDirect: false,
        openedAtMs: Date.now(),
        port: 0,
        serverPort: 0,
        isLoggedIn: false,
        tlsError: undefined,
      };
      const connection = await SoakConnection.open(this.#port(attempt), attempt, undefined);
      try {
        await imapLogin(connection, user, soakPassword, false);
        return connection;
      } catch (error) {
        connection.close();
        if (Date.now() > untilMs) throw error;
        await sleep(100);
      }
    }
  }
}
