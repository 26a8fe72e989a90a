// The connection of a process to anvil (docs/ipc.md, "anvil"). What it has announced it announces again after anvil was restarted, which is
// how anvil's state comes back. Nothing waits for anvil longer than 2 s, and without it logins are allowed.
import { connect, type Socket } from 'node:net';
import { encodeTabLine, parseTabLine } from '#ipc/tab-escape.js';
import type { Logger } from '#log/logger.js';
import { CellMap } from '#util/cell-map.js';
import { writeTogether } from '#util/write-together.js';
import type { AnvilClient, AnvilPenalty, AnvilSession } from './role.js';

const replyTimeoutMs = 2_000;
/** Pause before the next attempt to connect, doubling. */
const firstRetryMs = 100;
const lastRetryMs = 5_000;
/**
 * The ends of sessions wait this long for others, and leave with whatever is said next: a wake-up of anvil costs more than what it is told. Who finds a user
 * at a limit asks again after it.
 */
export const goodbyeMs = 50;
/** Longest line from anvil. */
const maxLineOctets = 8192;
const noPenalty: AnvilPenalty = { value: 0, lastSeconds: 0 };

/**
 * Sessions that no limit counts are announced when they have lasted one to two of these: most clients that come often are gone before, and telling of one's
 * begin and end costs a tenth of its login. Until then anvil has to ask (`TELL`).
 */
const passingMs = 50;

interface Announced {
  readonly session: AnvilSession;
  readonly onKick: () => void;
  /** Of the turns of `passingMs`, that in which it began. */
  readonly turn: number;
}

interface Question {
  readonly resolve: (fields: readonly string[] | undefined) => void;
  readonly timer: NodeJS.Timeout;
}

/** Field order of CONNECT and of each CONNECT-DUMP line after the pid. */
export function anvilIdent({ service, remoteIp, user }: Pick<AnvilSession, 'service' | 'remoteIp' | 'user'>): string {
  return `${service}/${remoteIp}/${user}`;
}

export class AnvilConnection implements AnvilClient {
  readonly #path: string;
  readonly #log: Logger;
  readonly #sessions = new CellMap<string, Announced>();
  /** Those among them that anvil does not know. */
  readonly #untold = new CellMap<string, Announced>();
  #turn = 0;
  #turnTimer: NodeJS.Timeout | undefined;
  /** anvil knows on this connection that there may be such. */
  #hasSaidLater = false;
  #socket: Socket | undefined;
  /** Answers come in the order of the questions. */
  #questions: Question[] = [];
  #received = '';
  /** Lines about sessions that have ended, not written yet. */
  #goodbyes = '';
  #goodbyeTimer: NodeJS.Timeout | undefined;
  #retryMs = firstRetryMs;
  #retry: NodeJS.Timeout | undefined;
  #counting: Promise<void> | undefined;
  #isClosed = false;
  #wasReported = false;

  /** Connects when first used. */
  constructor(path: string, log: Logger) {
    this.#path = path;
    this.#log = log;
  }

  connect(session: AnvilSession, onKick: () => void, mayWait = false): () => void {
    const { sessionId } = session;
    const announced = { session, onKick, turn: this.#turn };
    this.#sessions.set(sessionId, announced);
    const isConnected = this.#socket !== undefined;
    const socket = this.#open();
    // A fresh connection announces all sessions, this one included.
    if (isConnected && mayWait) this.#tellLater(announced);
    else if (isConnected) this.#write(socket, connectLine(session));
    else if (!mayWait) this.#count(session);
    return () => {
      if (this.#sessions.get(sessionId) !== announced) return;
      this.#sessions.take(sessionId);
      if (this.#untold.get(sessionId) === announced) {
        this.#untold.take(sessionId);
        return;
      }
      // A connection that is still to be made will announce those that are there then.
      if (this.#socket === undefined) return;
      this.#goodbyes += encodeTabLine(['DISCONNECT', String(process.pid), anvilIdent(session), session.sessionId]);
      this.#goodbyeTimer ??= setTimeout(() => this.#write(this.#socket, ''), goodbyeMs).unref();
    };
  }

  get counting(): Promise<void> | undefined {
    return this.#counting;
  }

  /** Making the connection may take longer than a client needs to come again. The answer comes behind the announcement. */
  #count({ user, remoteIp, service }: AnvilSession): void {
    const counting = this.lookup(user, remoteIp, service).then(() => {
      if (this.#counting === counting) this.#counting = undefined;
    });
    this.#counting = counting;
  }

  #tellLater(announced: Announced): void {
    this.#untold.set(announced.session.sessionId, announced);
    if (!this.#hasSaidLater) {
      this.#hasSaidLater = true;
      this.#write(this.#socket, 'LATER\n');
    }
    this.#turnTimer ??= setTimeout(() => this.#endTurn(), passingMs).unref();
  }

  #endTurn(): void {
    const lasting = this.#takeUntold((turn) => turn < this.#turn);
    this.#turn += 1;
    this.#turnTimer = this.#untold.size === 0 ? undefined : setTimeout(() => this.#endTurn(), passingMs).unref();
    if (lasting !== '') this.#write(this.#socket, lasting);
  }

  /** Lines that announce those that are meant, who are told of with them. */
  #takeUntold(isMeant: (turn: number) => boolean): string {
    let lines = '';
    for (const [sessionId, { session, turn }] of this.#untold.entries()) {
      if (!isMeant(turn)) continue;
      this.#untold.take(sessionId);
      lines += connectLine(session);
    }
    return lines;
  }

  async lookup(user: string, remoteIp: string, service: string): Promise<number> {
    const answer = await this.#ask(['LOOKUP', anvilIdent({ user, remoteIp, service })]);
    return countOf(answer?.[0]);
  }

  async penalty(address: string): Promise<AnvilPenalty> {
    const answer = await this.#ask(['PENALTY-GET', address]);
    if (answer === undefined) return noPenalty;
    // Dovecot's anvil separates the two with a blank.
    const [value, lastSeconds] = answer.join(' ').split(' ');
    return { value: countOf(value), lastSeconds: countOf(lastSeconds) };
  }

  setPenalty(address: string, checksum: number, value: number): void {
    this.#write(this.#open(), encodeTabLine(['PENALTY-INC', address, String(checksum), String(value)]));
  }

  /** Ends sessions by id. @returns how many there were */
  kick(sessionIds: ReadonlySet<string>): number {
    let count = 0;
    for (const [sessionId, { onKick }] of this.#sessions.entries()) {
      if (!sessionIds.has(sessionId)) continue;
      count += 1;
      onKick();
    }
    return count;
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#retry);
    clearTimeout(this.#turnTimer);
    this.#write(this.#socket, '');
    this.#socket?.end();
    this.#socket = undefined;
    this.#answerAll();
  }

  #ask(fields: readonly string[]): Promise<readonly string[] | undefined> {
    const socket = this.#open();
    if (socket === undefined) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      // The answers that follow would be taken for the wrong questions, so the connection cannot be used any more.
      const timer = setTimeout(() => socket.destroy(new Error(`no answer in ${replyTimeoutMs} ms`)), replyTimeoutMs);
      this.#questions.push({ resolve, timer });
      this.#write(socket, encodeTabLine(fields));
    });
  }

  /** Undefined while anvil is known to be away. */
  #open(): Socket | undefined {
    if (this.#isClosed || this.#retry !== undefined) return this.#socket;
    if (this.#socket !== undefined) return this.#socket;
    const socket = connect({ path: this.#path });
    this.#socket = socket;
    this.#received = '';
    this.#hasSaidLater = false;
    socket.setEncoding('utf8');
    socket.unref();
    let problem = 'closed the connection';
    socket.on('connect', () => {
      this.#retryMs = firstRetryMs;
      if (this.#wasReported) this.#log.info('anvil.back', 'Connected to anvil again');
      this.#wasReported = false;
    });
    socket.on('data', (text: string) => this.#receive(socket, text));
    socket.on('error', (error) => {
      problem = error.message;
    });
    socket.on('close', () => this.#lost(socket, problem));
    socket.write('VERSION\tanvil\t1\t0\n');
    for (const [, { session }] of this.#sessions.entries()) socket.write(connectLine(session));
    this.#untold.takeAll();
    return socket;
  }

  #lost(socket: Socket, problem: string): void {
    if (this.#socket !== socket) return;
    this.#socket = undefined;
    this.#forgetGoodbyes();
    this.#answerAll();
    if (this.#isClosed) return;
    if (!this.#wasReported) {
      this.#log.warning('anvil.lost', `anvil(${this.#path}) is away: ${problem}; logins are not limited until it is back`);
    }
    this.#wasReported = true;
    // Without sessions to announce there is no hurry: the next question connects, once the pause is over.
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      if (this.#sessions.size > 0) this.#open();
    }, this.#retryMs).unref();
    this.#retryMs = Math.min(this.#retryMs * 2, lastRetryMs);
  }

  #receive(socket: Socket, text: string): void {
    const lines = (this.#received + text).split('\n');
    this.#received = lines.pop() ?? '';
    if (this.#received.length > maxLineOctets) socket.destroy(new Error('sent a line that is too long'));
    for (const line of lines) this.#takeLine(parseTabLine(line));
  }

  #takeLine(fields: readonly string[]): void {
    const [verb] = fields;
    if (verb === 'VERSION') return;
    if (verb === 'KICK') {
      this.kick(new Set(fields.slice(1)));
      return;
    }
    if (verb === 'TELL') {
      this.#write(this.#socket, `${this.#takeUntold(() => true)}${encodeTabLine(['TOLD', ...fields.slice(1)])}`);
      return;
    }
    const question = this.#questions.shift();
    if (question === undefined) return;
    clearTimeout(question.timer);
    question.resolve(fields);
  }

  /** What has ended goes first. @param line '' to say nothing else */
  #write(socket: Socket | undefined, line: string): void {
    const text = this.#goodbyes + line;
    this.#forgetGoodbyes();
    if (socket === undefined || text === '') return;
    writeTogether(socket);
    socket.write(text);
  }

  #forgetGoodbyes(): void {
    clearTimeout(this.#goodbyeTimer);
    this.#goodbyeTimer = undefined;
    this.#goodbyes = '';
  }

  #answerAll(): void {
    for (const { resolve, timer } of this.#questions.splice(0)) {
      clearTimeout(timer);
      resolve(undefined);
    }
  }
}

function connectLine(session: AnvilSession): string {
  return encodeTabLine(['CONNECT', String(process.pid), anvilIdent(session), session.sessionId]);
}

function countOf(text: string | undefined): number {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : 0;
}
