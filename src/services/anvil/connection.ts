// One connection to anvil: Dovecot's line protocol, and what `roostadm who` and `roostadm kick` need beyond it (docs/ipc.md, "anvil").
import type { Duplex } from 'node:stream';
import { encodeTabLine, parseTabLine } from '#ipc/tab-escape.js';
import type { Logger } from '#log/logger.js';
import { NetworkList } from '#service-kit/addresses.js';
import { yieldToLoop } from '#util/deadline.js';
import { writeTogether } from '#util/write-together.js';
import type { KickedSessions } from './kicked-sessions.js';
import type { LatePeers } from './late-peers.js';
import type { Penalties } from './penalties.js';
import { type KickFilter, matcherOf, type Sessions } from './sessions.js';

export const maxLineOctets = 8192;

export interface AnvilState {
  readonly sessions: Sessions<AnvilPeer>;
  readonly kicked: KickedSessions;
  readonly late: LatePeers<AnvilPeer>;
  readonly penalties: Penalties;
  readonly log: Logger;
  readonly nowMs: () => number;
}

/** Login processes may only ask: they are the ones exposed to the network. */
export type AnvilRights = 'all' | 'lookup';

const restricted: ReadonlySet<string> = new Set(['VERSION', 'LOOKUP']);
/** Whoever has not told of all sessions yet is asked first. */
const needsAll: ReadonlySet<string> = new Set(['LOOKUP', 'CONNECT-DUMP', 'SESSION-DUMP', 'KICK-USER', 'KICK-SESSION']);
/** Answers come in the order of the questions. */
const answers: ReadonlySet<string> = new Set([...needsAll, 'PENALTY-GET', 'PENALTY-DUMP']);

export class AnvilPeer {
  readonly #socket: Duplex;
  readonly #state: AnvilState;
  readonly #rights: AnvilRights;
  #received = '';
  /** What waits until all have told, in order, and what came behind it and has an answer as well. */
  #waiting: Promise<void> | undefined;

  constructor(socket: Duplex, state: AnvilState, rights: AnvilRights) {
    this.#socket = socket;
    this.#state = state;
    this.#rights = rights;
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => this.#receive(text));
    socket.on('close', () => {
      state.sessions.forget(this);
      state.late.forget(this);
    });
  }

  /** Asks it for all sessions that it has not told of. */
  askForAll(question: number): void {
    this.#write(encodeTabLine(['TELL', String(question)]));
  }

  kick(sessionIds: readonly string[]): void {
    // Lines are bounded at the other end too.
    for (let at = 0; at < sessionIds.length; at += 50) this.#write(encodeTabLine(['KICK', ...sessionIds.slice(at, at + 50)]));
  }

  end(): void {
    this.#socket.end();
  }

  #receive(text: string): void {
    const lines = (this.#received + text).split('\n');
    this.#received = lines.pop() ?? '';
    if (this.#received.length > maxLineOctets) {
      this.#fail('a line is too long');
      return;
    }
    for (const line of lines) {
      if (this.#socket.destroyed) return;
      this.#run(parseTabLine(line));
    }
  }

  #run(fields: readonly string[]): void {
    const [verb = ''] = fields;
    const told = needsAll.has(verb) ? (this.#state.late.ask() ?? this.#othersHeard()) : undefined;
    if (told === undefined && (this.#waiting === undefined || !answers.has(verb))) {
      this.#runNow(fields);
      return;
    }
    const waiting = Promise.all([this.#waiting, told]).then(() => {
      if (this.#waiting === waiting) this.#waiting = undefined;
      if (!this.#socket.destroyed) this.#runNow(fields);
    });
    this.#waiting = waiting;
  }

  /** Connections that are ready together are read in any order, and a client may have been told of its login on another one before it tried again. */
  #othersHeard(): Promise<void> | undefined {
    return this.#rights === 'lookup' ? yieldToLoop() : undefined;
  }

  #runNow([verb = '', ...values]: readonly string[]): void {
    const isAllowed = this.#rights === 'all' || restricted.has(verb);
    const command = isAllowed ? commands[verb] : undefined;
    const answer = command?.(this.#state, this, values);
    if (!isAllowed) this.#fail(`${verb} is not allowed here`);
    else if (command === undefined) this.#fail(`unknown command ${verb}`);
    else if (answer === undefined) this.#fail(`bad values for ${verb}`);
    else if (answer !== '') this.#write(answer);
  }

  #write(text: string): void {
    if (!this.#socket.writable) return;
    writeTogether(this.#socket);
    this.#socket.write(text);
  }

  #fail(problem: string): void {
    this.#state.log.error('anvil.bad-line', `anvil: ${problem}`);
    this.#socket.destroy();
  }
}

/** @returns the answer, '' for none, undefined when the values are wrong */
type Command = (state: AnvilState, peer: AnvilPeer, values: readonly string[]) => string | undefined;

const commands: Readonly<Record<string, Command>> = {
  VERSION: (_state, _peer, [name, major]) => (name === 'anvil' && major === '1' ? '' : undefined),

  CONNECT({ sessions, kicked, nowMs }, peer, [pidText, ident, sessionId = '']) {
    const pid = countOf(pidText);
    if (pid === undefined || ident === undefined) return undefined;
    sessions.connect(peer, { ident, pid, sessionId, sinceMs: nowMs() });
    if (kicked.isKicked({ ident, sessionId }, nowMs())) peer.kick([sessionId]);
    return '';
  },

  DISCONNECT({ sessions, kicked, nowMs }, peer, [pidText, ident, sessionId = '']) {
    const pid = countOf(pidText);
    if (pid === undefined || ident === undefined) return undefined;
    sessions.disconnect(peer, { ident, pid, sessionId });
    kicked.left({ ident, sessionId }, nowMs());
    return '';
  },

  LATER({ late }, peer) {
    late.add(peer);
    return '';
  },

  TOLD({ late }, peer, [questionText]) {
    const question = countOf(questionText);
    if (question === undefined) return undefined;
    late.told(peer, question);
    return '';
  },

  LOOKUP: ({ sessions }, _peer, [ident]) => (ident === undefined ? undefined : `${sessions.count(ident)}\n`),

  'CONNECT-DUMP': ({ sessions }) => {
    const counts = new Map<string, number>();
    for (const { ident, pid } of sessions.list()) {
      const line = encodeTabLine([ident, String(pid)]).slice(0, -1);
      counts.set(line, (counts.get(line) ?? 0) + 1);
    }
    return `${[...counts].map(([line, count]) => `${line}\t${count}\n`).join('')}\n`;
  },

  'SESSION-DUMP': ({ sessions }) => {
    const lines = sessions
      .list()
      .map(({ user, service, remoteIp, pid, sessionId, sinceMs }) =>
        encodeTabLine([user, service, remoteIp, String(pid), sessionId, String(Math.floor(sinceMs / 1000))]),
      );
    return `${lines.join('')}\n`;
  },

  KILL({ sessions }, _peer, [pidText]) {
    const pid = countOf(pidText);
    if (pid === undefined) return undefined;
    sessions.kill(pid);
    return '';
  },

  'KICK-USER': (state, _peer, [userMask, network = '']) => {
    if (userMask === undefined || userMask === '') return undefined;
    const networks = network === '' ? undefined : new NetworkList([network]);
    return kick(state, { userMask, includesIp: networks && ((ip) => networks.includes(ip)), sessionIds: undefined });
  },

  'KICK-SESSION': (state, _peer, sessionIds) =>
    sessionIds.length === 0 ? undefined : kick(state, { userMask: undefined, includesIp: undefined, sessionIds: new Set(sessionIds) }),

  'PENALTY-GET': ({ penalties, nowMs }, _peer, [address]) => {
    if (address === undefined) return undefined;
    const { value, lastSeconds } = penalties.get(address, seconds(nowMs));
    return `${value} ${lastSeconds}\n`;
  },

  'PENALTY-INC': ({ penalties, nowMs }, _peer, [address, checksumText, valueText]) => {
    const checksum = countOf(checksumText);
    const value = countOf(valueText);
    if (address === undefined || checksum === undefined || value === undefined) return undefined;
    penalties.set(address, checksum, value, seconds(nowMs));
    return '';
  },

  'PENALTY-SET-EXPIRE-SECS': ({ penalties }, _peer, [secondsText]) => {
    const expireSeconds = countOf(secondsText);
    if (expireSeconds === undefined) return undefined;
    penalties.expireSeconds = expireSeconds;
    return '';
  },

  'PENALTY-DUMP': ({ penalties, nowMs }) => {
    const lines = penalties
      .list(seconds(nowMs))
      .map(({ address, value, lastSeconds }) => encodeTabLine([address, String(value), String(lastSeconds)]));
    return `${lines.join('')}\n`;
  },
};

/** @returns the number of sessions that are being ended */
function kick({ sessions, kicked, nowMs }: AnvilState, filter: KickFilter): string {
  const matches = sessions.match(filter);
  for (const [peer, meant] of matches) peer.kick(meant.map(({ sessionId }) => sessionId));
  const told = [...matches.values()].flat();
  kicked.kicked(told, matcherOf(filter), nowMs());
  return `${told.length}\n`;
}

function seconds(nowMs: () => number): number {
  return Math.floor(nowMs() / 1000);
}

function countOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : undefined;
}
