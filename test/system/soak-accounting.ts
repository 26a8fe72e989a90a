// Why a connection of the soak ended early: a refusal in words that a kill or a reload explains, or the kill of a process in its path.
import { setTimeout as sleep } from 'node:timers/promises';
import { type Attempt, Broken, goodbye, Refused } from './soak-attempt.js';

export interface Kill {
  readonly atMs: number;
  readonly service: string;
  readonly pid: number;
}

/** The processes that a connection went through, by the log. */
interface Path {
  /** Undefined in direct mode and where the login process has passed the connection on. */
  readonly relayPid: number | undefined;
  /** In turn. */
  readonly ownerPids: readonly number[];
}

/** The server writes the line about a login at the end of the turn in which it happened; the test reads it when it gets to it. */
const loginLineMs = 2_000;
/** A killed process is being replaced; one that was killed at its start only after 2 s, or 4 (throttling). */
const refusalWindowMs = 15_000;
/** What a client may be told, and the processes whose end explains it. */
const refusals: readonly { readonly text: RegExp; readonly services: readonly string[] }[] = [
  { text: /^(\S+ NO \[UNAVAILABLE\]|-ERR \[SYS\/TEMP\]) Temporary authentication failure/, services: ['auth'] },
  { text: /^\S+ (NO|BYE) \[UNAVAILABLE\] Internal login failure/, services: ['auth', 'imap', 'imap-login'] },
  { text: /^-ERR \[SYS\/TEMP\] Internal login failure/, services: ['auth', 'pop3', 'pop3-login'] },
  { text: /^451 4\.3\.0 .* Temporary internal error/, services: ['auth', 'deliver'] },
  // The process that delivers asks auth, too; its refusal is passed on like this.
  { text: /^451 4\.2\.0 .* Mailbox is not available/, services: ['deliver', 'auth'] },
];
/** At a reload recipients that wait for auth wait no longer. */
const endedLookup = /^451 4\.3\.0 .* Temporary internal error|^451 4\.2\.0 .* Mailbox is not available/;
/** A connection that a process has taken over from another one leaves a line. */
const takenOver = /: (?:Given back to imap|Passed to imap-hibernate) process (\d+)$/;

export class SoakAccounting {
  readonly kills: Kill[] = [];
  /** When, of those that end sessions. */
  readonly reloads: number[] = [];
  /** Connections that ended early, by what explains it. */
  readonly accounted: Record<string, number> = {};
  readonly problems: string[] = [];
  readonly #readLog: () => string;

  /** @param readLog everything that the server has logged so far */
  constructor(readLog: () => string) {
    this.#readLog = readLog;
  }

  async account(error: unknown, attempt: Attempt): Promise<void> {
    const nowMs = Date.now();
    const text = error instanceof Error ? error.message : String(error);
    let reason: string | undefined;
    if (error instanceof Refused) reason = this.#explainRefusal(text, attempt.openedAtMs);
    if (error instanceof Broken && attempt.tlsError === undefined) reason = await this.#explainBreak(attempt, nowMs);
    if (reason !== undefined) {
      const name = attempt.security === 'plain' ? reason : `${reason} (TLS)`;
      this.accounted[name] = (this.accounted[name] ?? 0) + 1;
      return;
    }
    const last = this.kills.slice(-6).map(({ service, pid, atMs }) => `${service} ${pid} ${nowMs - atMs} ms ago`);
    const path = attempt.isLoggedIn ? await this.#path(attempt) : undefined;
    const where = attempt.isLoggedIn
      ? `in process ${path?.ownerPids.join(', then ') ?? '?'}, relayed by ${path?.relayPid ?? 'none'}`
      : 'not logged in';
    const how = `${attempt.isDirect ? 'direct ' : ''}${attempt.kind} ${attempt.security}`;
    this.problems.push(
      `${how} (${where} at ${nowMs}, port ${attempt.port}, open for ${nowMs - attempt.openedAtMs} ms): ${text}${attempt.tlsError === undefined ? '' : `, ${attempt.tlsError}`}, not explained by ${last.join(', ')}${this.#linesOf(attempt)}`,
    );
  }

  /** What the log says of the connection, to find out what happened: the end of a line is about its end. */
  #linesOf({ port, serverPort }: Attempt): string {
    const log = this.#readLog();
    const ports = `lport=${serverPort} rport=${port} `;
    const asked = log.lastIndexOf(ports);
    const session = asked < 0 ? undefined : /session=(\S+)/.exec(log.slice(asked, asked + 500))?.[1];
    if (session === undefined) return '';
    const lines = linesWith(log, session, log.lastIndexOf('\n', asked) + 1).map((line) => line.slice(0, 300));
    return lines.map((line) => `\n  ${line}`).join('');
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
    if (isReload && this.reloads.some((atMs) => atMs > sinceMs)) return shown;
    return this.kills.some(({ atMs, service }) => atMs > sinceMs && services.includes(service)) ? shown : undefined;
  }

  /** A process that the connection went through was killed while the connection lasted. */
  async #explainBreak(attempt: Attempt, brokenAtMs: number): Promise<string | undefined> {
    const { kind, isDirect, isLoggedIn, openedAtMs } = attempt;
    const killed = (matches: (kill: Kill) => boolean): Kill | undefined =>
      this.kills.findLast((kill) => kill.atMs >= openedAtMs && kill.atMs <= brokenAtMs && matches(kill));
    const killedOf = (...services: readonly string[]): Kill | undefined => killed(({ service }) => services.includes(service));
    if (kind === 'lmtp' || kind === 'smtp') {
      if (killedOf(kind) !== undefined) return `broken by a kill of ${kind}`;
      return this.#wasCutOff(kind, openedAtMs, brokenAtMs) ? `cut off by ${kind} at the end of the grace time` : undefined;
    }
    if (!isLoggedIn) {
      const kill = isDirect ? killedOf(kind) : killedOf(`${kind}-login`, kind);
      if (kill !== undefined) return `broken by a kill of ${kill.service} before login`;
      if (this.#wasShakingHands(attempt)) return `cut off by ${kind} in a TLS handshake that outlasted the grace time`;
      return this.#wasCutOff(isDirect ? kind : `${kind}-login`, openedAtMs, brokenAtMs)
        ? `cut off by ${kind}-login at the end of the grace time`
        : undefined;
    }
    let path = await this.#path(attempt);
    if (path !== undefined) {
      const killOfLast = (): Kill | undefined => killed(({ pid }) => pid === path?.relayPid || pid === path?.ownerPids.at(-1));
      // The line of a move comes after it, so the end of the new process may be noticed before.
      for (const untilMs = Date.now() + loginLineMs; killOfLast() === undefined && Date.now() < untilMs; await sleep(20))
        path = await this.#path(attempt);
      const kill = killOfLast();
      if (kill !== undefined) return `broken by the kill of its own ${kill.service} process`;
      // A login that took longer than the grace time of the login process, and ended at a process that goes on.
      if (path?.relayPid !== undefined && this.#wasCutOff(`${kind}-login`, openedAtMs, brokenAtMs))
        return `cut off by ${kind}-login at the end of the grace time`;
      // After a reload a session may end the command that it is in; one that takes longer than the grace time, on a busy machine, is cut off.
      if (this.#wasCutOff(kind, openedAtMs, brokenAtMs)) return `cut off by ${kind} at the end of the grace time`;
      // One that has passed it on just before its end has not always said so.
      return killed(({ pid }) => path?.ownerPids.includes(pid) === true) && killedOf('imap', 'imap-hibernate')
        ? 'broken by a kill after a move that was not logged'
        : undefined;
    }
    return this.#explainSilence(attempt, killedOf);
  }

  /** A process that ends can say goodbye to such a client only when the handshake is over, for which it waits so long. */
  #wasShakingHands({ security, port, serverPort }: Attempt): boolean {
    const end = `Disconnected: Shutting down \\(disconnected before auth was ready[^\\n]*lport=${serverPort}, rport=${port}$`;
    return security !== 'plain' && new RegExp(end, 'm').test(this.#readLog());
  }

  /** There is no line about the login: the process that writes it was killed between the login and the line. */
  #explainSilence({ kind, security, isDirect }: Attempt, killedOf: (...services: string[]) => Kill | undefined): string | undefined {
    if (isDirect) return killedOf(kind) === undefined ? undefined : `broken by a kill of ${kind} (not logged)`;
    if (killedOf(`${kind}-login`) === undefined) return undefined;
    // Its own end is the end of what it relays; a connection that it has passed on needs another reason.
    if (security !== 'plain') return `broken by a kill of ${kind}-login (not logged)`;
    // With the line about the login, those about moves may be all that is known of it, and they do not name the connection.
    const kill = killedOf(kind, `${kind}-hibernate`);
    return kill === undefined ? undefined : `broken by a kill of ${kill.service} (not logged)`;
  }

  /** A reload gives sessions some seconds; one that waits longer (for a process that delivers, while starts are put off) is cut off, and counted in the log. */
  #wasCutOff(service: string, openedAtMs: number, brokenAtMs: number): boolean {
    const lines = [
      /^(\d+) (\S+): Warning: \d+ clients did not end in time and are cut off$/gm,
      // The process did not even come to cutting them off.
      /^(\d+) master: Warning: service\((\S+)\): child \d+ killed with signal (?:9|15) - reload$/gm,
      // Of a copy of a template the master does not learn how it ended.
      /^(\d+) master: Warning: Processes aren't dying after reload, sent SIG(?:KILL|TERM) to \d+ process/gm,
    ];
    return lines
      .flatMap((line) => [...this.#readLog().matchAll(line)])
      .some(
        ([, seconds, name]) =>
          (name === undefined || name === service) &&
          Number(seconds) * 1_000 >= openedAtMs - 1_000 &&
          Number(seconds) * 1_000 <= brokenAtMs + 1_000,
      );
  }

  /** Undefined when the log does not name the connection. */
  async #path({ port, serverPort, openedAtMs, security, isDirect }: Attempt): Promise<Path | undefined> {
    for (const untilMs = Date.now() + loginLineMs; ; ) {
      const log = this.#readLog();
      const at = log.lastIndexOf(`, lport=${serverPort}, rport=${port}\n`);
      const from = log.lastIndexOf('\n', at) + 1;
      const line = at < 0 ? '' : log.slice(from, at);
      const [, pid, loginPid] = /Login: mpid=(\d+), lpid=(\d+)/.exec(line) ?? [];
      // Ports are used again; a line of an earlier connection has another time.
      if (pid !== undefined && Number(/^(\d+) /.exec(line)?.[1]) * 1_000 >= openedAtMs - 1_000) {
        const session = /, session=(\S+)$/.exec(line)?.[1] ?? '';
        const moves = linesWith(log, `<${session}>: `, from).flatMap((text) => takenOver.exec(text)?.[1] ?? []);
        return {
          relayPid: isDirect || security === 'plain' ? undefined : Number(loginPid),
          ownerPids: [pid, ...moves].map(Number),
        };
      }
      if (Date.now() > untilMs) return undefined;
      await sleep(20);
    }
  }
}

function linesWith(text: string, part: string, from: number): string[] {
  const lines: string[] = [];
  for (let at = text.indexOf(part, from); at >= 0; at = text.indexOf(part, at + part.length)) {
    const end = text.indexOf('\n', at);
    lines.push(text.slice(text.lastIndexOf('\n', at) + 1, end < 0 ? undefined : end));
  }
  return lines;
}
