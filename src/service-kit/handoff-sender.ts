// Login's half of the hand-off: route from the master, descriptor or relay to the mail process, another one where that one takes nobody.
import { randomUUID } from 'node:crypto';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { ChannelError, connectUnix, endedCode, FramedChannel, PendingReplies, readFirstFrame } from '#ipc/channel.js';
import type { RoutedMessage } from '#ipc/control.js';
import { encodeFrame } from '#ipc/frame.js';
import { canPassDescriptors, HandlePassError, sendDescriptor } from '#ipc/handle-pass.js';
import { type HandoffReply, maxHandoffFrameBytes, maxReadAheadBytes, parseHandoffReply, type RefusalCode } from '#ipc/handoff.js';
import type { HandoffRequest, Origin } from '#ipc/peer.js';
import type { TlsState } from '#ipc/tls-state.js';
import type { Logger } from '#log/logger.js';
import type { ControlLink } from './control-link.js';
import { flushed } from './flushed.js';
import { LinkTable } from './link-table.js';
import { type ClientSocket, descriptorOf, isClientSocket } from './open-socket.js';
import { continueReading, forgetPause, stopReading } from './reading.js';
import { Relay } from './relay.js';
import { RelayedStream } from './relayed-stream.js';
import type { HandoffOutcome, OpenedSession, PassWait } from './role.js';
import { type Route, RouteLeases } from './route-leases.js';
import { RoutePatience } from './route-patience.js';
import { type RelayHandle, StreamLink } from './stream-link.js';
import { TlsStream } from './tls-stream.js';

const connectTimeoutMs = 5_000;
const descriptorTimeoutMs = 5_000;
/** A busy mail process may need this long to look at its sockets. */
const replyTimeoutMs = 20_000;

/** How one attempt with one process ended. */
type Attempt =
  | { readonly kind: 'passed' }
  /** `isRefused`: it is there, and takes nobody. */
  | { readonly kind: 'again'; readonly reason: string; readonly isRefused: boolean }
  | { readonly kind: 'failed'; readonly reason: string };

export interface HandoffJob {
  /** The socket itself for plain connections, else the TLS stream over it. */
  readonly stream: Duplex;
  readonly socket: ClientSocket;
  /** Set where the TLS can go with the descriptor: the stream, or what it is made of. */
  readonly tls?: TlsStream | undefined;
  readonly buffered: Buffer;
  readonly request: HandoffRequest;
  /** Where the connection can come back to; asked for the descriptor that is sent, and without one while there is none. */
  readonly originOf?: ((fd: number | undefined) => Origin) | undefined;
  /** A session that is relayed stays where it is: it is passed as a descriptor or not at all. */
  readonly isDescriptorOnly?: boolean;
  /** The connection goes on as a relay; `onEnd` is to be called when it has ended. */
  readonly onRelay: (relay: RelayHandle) => void;
  readonly onRelayEnd: () => void;
}

export class HandoffSender {
  readonly #control: ControlLink;
  readonly #log: Logger;
  readonly #links = new LinkTable<MailLink>((path, onClose) => MailLink.open(path, onClose));
  readonly #streamLinks = new LinkTable<StreamLink>(openStreamLink);
  readonly #leases = new RouteLeases();

  constructor(control: ControlLink, log: Logger) {
    this.#control = control;
    this.#log = log;
  }

  /** Never throws. Unless passed, the socket can still be written to. */
  async send(job: HandoffJob): Promise<HandoffOutcome> {
    const { stream } = job;
    const readAhead = Buffer.concat([job.buffered, stopReadingClient(stream)]);
    const outcome = (await this.#tryLease(job, readAhead)) ?? (await this.#tryRoutes(job, () => readAhead));
    if (outcome.kind === 'passed' || stream.destroyed) return outcome;
    // Read on, so that the end of the connection is seen; what the client still says goes nowhere.
    continueReadingClient(stream);
    stream.resume();
    return outcome;
  }

  /** Never throws. Passes a session on, by its descriptor only. Unless passed, the socket waits for a reader with all that came. */
  async passOn(stream: Duplex, given: HandoffRequest, wait?: PassWait): Promise<HandoffOutcome> {
    if (!canPassSession(stream)) return { kind: 'failed', reason: 'this connection cannot be passed on' };
    if (stream instanceof RelayedStream && !(await stream.move()))
      return { kind: 'failed', reason: 'its relay gives no descriptor for it' };
    const source = sourceOf(stream);
    const request = withOrigin(given, stream);
    let readAhead: Buffer | undefined;
    const take = (): Buffer => {
      if (readAhead === undefined) wait?.onFound();
      readAhead ??= source.stopReading();
      return readAhead;
    };
    if (wait === undefined) take();
    const job: HandoffJob = {
      stream: source.socket,
      socket: source.socket,
      tls: stream instanceof TlsStream ? stream : undefined,
      buffered: Buffer.alloc(0),
      request,
      isDescriptorOnly: true,
      onRelay: ignore,
      onRelayEnd: ignore,
    };
    const outcome = await this.#tryRoutes(job, take, wait?.signal);
    if (outcome.kind !== 'passed' && !stream.destroyed) await source.giveBack(readAhead ?? source.stopReading());
    return outcome;
  }

  close(): void {
    this.#links.close();
    this.#streamLinks.close();
  }

  /** @param takeAhead what has been read; nothing is read any more then. Called when there is a process */
  async #tryRoutes(job: HandoffJob, takeAhead: () => Buffer, signal?: AbortSignal): Promise<HandoffOutcome> {
    const patience = new RoutePatience();
    for (;;) {
      const askedAtMs = performance.now();
      const takesLease = job.isDescriptorOnly !== true;
      const route = await this.#route(job.request, { signal, takesLease });
      if (route.outcome !== 'ok') return { kind: route.outcome === 'full' ? 'full' : 'failed', reason: route.reason };
      if (takesLease) this.#leases.keep(job.request, route, askedAtMs);
      const attempt = await this.#attempt(job, takeAhead(), route);
      if (attempt.kind === 'passed') return { kind: 'passed', pid: route.pid };
      this.#leases.forget(job.request, route);
      const reason = failureText(job, route, attempt);
      this.#control.send({ kind: 'route-failed', ticket: route.ticket, reason: attempt.reason });
      if (attempt.kind === 'failed' || !(await patience.allowsAnother(attempt.isRefused))) return { kind: 'failed', reason };
      this.#log.debug('handoff.again', `Hand-off is tried again: ${reason}`);
    }
  }

  /** Where the user went a moment ago. @returns undefined when the master is to be asked, as nothing is known or nobody was taken there */
  async #tryLease(job: HandoffJob, readAhead: Buffer): Promise<HandoffOutcome | undefined> {
    const route = this.#leases.find(job.request, performance.now());
    if (route === undefined) return undefined;
    const attempt = await this.#attempt(job, readAhead, route);
    if (attempt.kind === 'passed') return { kind: 'passed', pid: route.pid };
    this.#leases.forget(job.request, route);
    const reason = failureText(job, route, attempt);
    if (attempt.kind === 'failed') return { kind: 'failed', reason };
    this.#log.debug('handoff.again', `Hand-off is tried again: ${reason}`);
    return undefined;
  }

  async #route(
    request: HandoffRequest,
    { signal, takesLease = false }: { readonly signal?: AbortSignal | undefined; readonly takesLease?: boolean } = {},
  ): Promise<RoutedMessage> {
    const { service, user, fields } = request;
    try {
      const ids = { uid: idOf(fields['roost_uid']), gid: idOf(fields['roost_gid']) };
      const asked = this.#control.route({ service, user, uid: ids.uid, gid: ids.gid, takesLease });
      return signal === undefined ? await asked : await this.#unless(signal, asked);
    } catch (error) {
      if (!(error instanceof ChannelError)) throw error;
      return { kind: 'routed', id: 0, outcome: 'failed', reason: error.message };
    }
  }

  /** The slot of an answer that comes after the abort is given back. */
  async #unless(signal: AbortSignal, asked: Promise<RoutedMessage>): Promise<RoutedMessage> {
    const reason = 'nobody waits for it any more';
    let stop = ignore as () => void;
    const aborted = new Promise<undefined>((resolve) => {
      stop = () => resolve(undefined);
      signal.addEventListener('abort', stop);
      if (signal.aborted) stop();
    });
    const routed = await Promise.race([asked, aborted]).finally(() => signal.removeEventListener('abort', stop));
    if (routed !== undefined && !signal.aborted) return routed;
    asked.then((late) => {
      if (late.outcome === 'ok') this.#control.send({ kind: 'route-failed', ticket: late.ticket, reason });
    }, ignore);
    return { kind: 'routed', id: 0, outcome: 'failed', reason };
  }

  async #attempt(job: HandoffJob, readAhead: Buffer, route: Route): Promise<Attempt> {
    if (job.stream.destroyed) return { kind: 'failed', reason: 'the client is gone' };
    if (readAhead.length > maxReadAheadBytes) return { kind: 'failed', reason: `the client sent ${readAhead.length} octets ahead` };
    if (canMove(job) && route.descriptorPath !== '' && canPassDescriptors()) {
      const attempt = await this.#move(job, readAhead, route);
      if (attempt !== 'relay') return attempt;
    }
    if (job.isDescriptorOnly === true) return { kind: 'failed', reason: 'the descriptor cannot be passed' };
    return job.stream === job.socket ? this.#relay(job, readAhead, route) : this.#relayStream(job, readAhead, route);
  }

  /** The client's own socket goes to the mail process. */
  async #move(job: HandoffJob, readAhead: Buffer, route: Route): Promise<Attempt | 'relay'> {
    const fd = descriptorOf(job.socket);
    if (fd === undefined) return 'relay';
    // Our last octets must be in the kernel before the mail process writes its first.
    if (!(await this.#isFlushed(job))) return { kind: 'failed', reason: 'the client does not read' };
    const attempt = await this.#pass(job, readAhead, route, fd);
    // Closes our copy of the descriptor; the connection itself lives on in the mail process.
    if (attempt !== 'relay' && attempt.kind === 'passed') job.socket.destroy();
    return attempt;
  }

  /** Of TLS, what is to be sealed comes first. */
  async #isFlushed({ socket, tls }: HandoffJob): Promise<boolean> {
    if (tls !== undefined && tls.writableLength > 0 && !(await flushed(tls, descriptorTimeoutMs))) return false;
    return socket.writableLength === 0 || (await flushed(socket, descriptorTimeoutMs));
  }

  /** TLS ends here: the client's octets go to the mail process and back over a channel for all of them. */
  async #relayStream(job: HandoffJob, readAhead: Buffer, route: Route): Promise<Attempt> {
    const { originOf } = job;
    const request = originOf === undefined ? job.request : Object.assign({}, job.request, { origin: originOf(undefined) });
    const client = asSocket(job.stream);
    try {
      const link = await this.#streamLinks.get(route.path, route.descriptorPath);
      const message = { ticket: route.ticket, request, readAhead: readAhead.toString('base64') };
      const taken = await link.offer({ client, message, originOf, onRelayEnd: job.onRelayEnd });
      if (!('relay' in taken)) return refusedAttempt(taken.kind === 'refused' ? taken.code : 'invalid');
      continueReadingClient(job.stream);
      job.onRelay(taken.relay);
      taken.start();
      return { kind: 'passed' };
    } catch (error) {
      return failedAttempt(error);
    }
  }

  #startRelay(job: HandoffJob, service: Socket): void {
    service.on('error', ignore);
    continueReadingClient(job.stream);
    job.onRelay(new Relay(asSocket(job.stream), service, job.onRelayEnd));
  }

  async #pass(job: HandoffJob, readAhead: Buffer, route: Route, fd: number): Promise<Attempt | 'relay'> {
    // 122 random bits, from Node's store of them.
    const token = randomUUID();
    const request = job.originOf === undefined ? job.request : { ...job.request, origin: job.originOf(fd) };
    let reply: HandoffReply;
    let isOffered = false;
    try {
      const link = await this.#links.get(route.path);
      await sendDescriptor(route.descriptorPath, fd, token, descriptorTimeoutMs);
      isOffered = true;
      reply = await link.handOff({ token, ticket: route.ticket, request, readAhead: readAhead.toString('base64'), tls: job.tls?.state });
    } catch (error) {
      // It may have been taken all the same, and two processes must not seal records under the same numbers: not even a word of regret.
      if (isOffered && isInDoubt(error)) job.tls?.destroy();
      return failedAttempt(error);
    }
    if (reply.kind === 'refused') return reply.code === 'no-descriptor' ? 'relay' : refusedAttempt(reply.code);
    return { kind: 'passed' };
  }

  /** Never throws. A connection of our own, for which the other end is told what `request` says. */
  async open(request: HandoffRequest, signal: AbortSignal): Promise<OpenedSession> {
    const patience = new RoutePatience();
    for (;;) {
      const route = await this.#route(request, { signal });
      if (route.outcome !== 'ok') return { kind: route.outcome === 'full' ? 'full' : 'failed', reason: route.reason };
      const opened = await this.#connect(route, request, Buffer.alloc(0));
      if (opened instanceof Socket) {
        continueReading(opened);
        return { kind: 'open', stream: opened };
      }
      const reason = opened.kind === 'passed' ? '' : `${request.service} process ${route.pid}: ${opened.reason}`;
      this.#control.send({ kind: 'route-failed', ticket: route.ticket, reason });
      if (opened.kind !== 'again' || !(await patience.allowsAnother(opened.isRefused))) return { kind: 'failed', reason };
    }
  }

  async #relay(job: HandoffJob, readAhead: Buffer, route: Route): Promise<Attempt> {
    const service = await this.#connect(route, job.request, readAhead);
    if (!(service instanceof Socket)) return service;
    this.#startRelay(job, service);
    return { kind: 'passed' };
  }

  /** A connection to the private socket of a mail process, which has taken it. */
  async #connect(route: Route, request: HandoffRequest, readAhead: Buffer): Promise<Socket | Attempt> {
    const { ticket } = route;
    let service: Socket;
    try {
      service = await connectUnix(route.path, { timeoutMs: connectTimeoutMs, allowHalfOpen: true });
    } catch (error) {
      return failedAttempt(error);
    }
    service.on('error', ignore);
    service.write(encodeFrame({ kind: 'relay', ticket, request, readAhead: readAhead.toString('base64') }, maxHandoffFrameBytes));
    const sentAtMs = performance.now();
    const frame = await readFirstFrame(service, { maxFrameBytes: 1024, timeoutMs: replyTimeoutMs });
    if (frame === undefined) {
      const isLate = performance.now() - sentAtMs >= replyTimeoutMs;
      return isLate
        ? { kind: 'failed', reason: `no reply in ${replyTimeoutMs} ms` }
        : { kind: 'again', reason: 'closed the connection', isRefused: false };
    }
    const reply = parseHandoffReply(frame.value);
    if (reply?.kind !== 'taken') {
      service.destroy();
      return refusedAttempt(reply?.code ?? 'invalid');
    }
    return service;
  }
}

async function openStreamLink(path: string, onClose: () => void, descriptorPath: string): Promise<StreamLink> {
  const socket = await connectUnix(path, { timeoutMs: connectTimeoutMs });
  return new StreamLink(socket, { descriptorPath, replyTimeoutMs, descriptorTimeoutMs, onClose });
}

/** The kept channel to one mail process. */
class MailLink {
  readonly #channel: FramedChannel;
  readonly #replies = new PendingReplies<HandoffReply>(replyTimeoutMs);

  /** @throws ChannelError */
  static async open(path: string, onClose: () => void): Promise<MailLink> {
    return new MailLink(await connectUnix(path, { timeoutMs: connectTimeoutMs }), onClose);
  }

  private constructor(socket: Socket, onClose: () => void) {
    this.#channel = new FramedChannel(socket, {
      maxFrameBytes: maxHandoffFrameBytes,
      onMessage: (value) => {
        const reply = parseHandoffReply(value);
        if (reply !== undefined) this.#replies.settle(reply.id, reply);
      },
      onClose: (error) => {
        this.#replies.failAll(error?.message ?? 'closed the connection', endedCode(error));
        onClose();
      },
    });
    this.#channel.send({ kind: 'channel', pid: process.pid });
  }

  /** @throws ChannelError; after a timeout the channel is closed, so that a late `taken` cannot be believed by one side only */
  async handOff(message: {
    readonly token: string;
    readonly ticket: number;
    readonly request: HandoffRequest;
    readonly readAhead: string;
    readonly tls: TlsState | undefined;
  }): Promise<HandoffReply> {
    try {
      return await this.#replies.request((id) => {
        if (!this.#channel.isClosed) this.#channel.send({ kind: 'handoff', id, ...message });
        else this.#replies.failAll('closed the connection');
      });
    } catch (error) {
      if (error instanceof ChannelError && error.code === 'timeout') {
        // The process may still take the others that wait: they must not be handed to somebody else.
        this.#replies.failAll(error.message, 'timeout');
        this.#channel.destroy(error);
      }
      throw error;
    }
  }

  close(): void {
    void this.#channel.close();
  }
}

/** A descriptor that can be sent away, or had for it, without TLS state that would stay behind. */
export function canPassSession(stream: Duplex): boolean {
  if (stream instanceof RelayedStream) return stream.canMove && canPassDescriptors();
  if (stream instanceof TlsStream) return descriptorOf(stream.socket) !== undefined && canPassDescriptors();
  return isClientSocket(stream) && descriptorOf(stream) !== undefined && canPassDescriptors();
}

/** How a stream that is passed on is taken from its reader, and given back. */
interface PassSource {
  readonly socket: ClientSocket;
  stopReading(): Buffer;
  giveBack(readAhead: Buffer): Promise<void>;
}

function sourceOf(stream: Duplex): PassSource {
  if (stream instanceof RelayedStream && stream.socket !== undefined) {
    return { socket: stream.socket, stopReading: () => stream.stopReading(), giveBack: (octets) => stream.giveBack(octets) };
  }
  if (stream instanceof TlsStream)
    return { socket: stream.socket, stopReading: () => stream.stopReading(), giveBack: (octets) => stream.giveBack(octets) };
  const socket = asSocket(stream);
  return { socket, stopReading: () => stopReading(socket), giveBack: (octets) => giveBack(socket, octets) };
}

/** Where it can go back to was sealed for its descriptor only when it got one. */
function withOrigin(request: HandoffRequest, stream: Duplex): HandoffRequest {
  if (!(stream instanceof RelayedStream) || request.origin === undefined) return request;
  return Object.assign({}, request, { origin: stream.origin });
}

/** As it was before `stopReading`. */
async function giveBack(socket: ClientSocket, readAhead: Buffer): Promise<void> {
  await forgetPause(socket);
  if (readAhead.length > 0) socket.unshift(readAhead);
  continueReading(socket);
}

/** All that there is of the connection can go to another process. */
function canMove({ stream, socket, tls }: HandoffJob): boolean {
  return stream === socket || tls !== undefined;
}

function stopReadingClient(stream: Duplex): Buffer {
  return stream instanceof TlsStream ? stream.stopReading() : stopReading(asSocket(stream));
}

function continueReadingClient(stream: Duplex): void {
  if (stream instanceof TlsStream) stream.continueReading();
  else continueReading(asSocket(stream));
}

/** The process may have taken the connection, and nobody knows. */
function isInDoubt(error: unknown): boolean {
  return error instanceof ChannelError && error.code !== 'closed';
}

function refusedAttempt(code: RefusalCode): Attempt {
  const reason = `refused the connection (${code})`;
  return code === 'full' || code === 'draining' ? { kind: 'again', reason, isRefused: true } : { kind: 'failed', reason };
}

/** Only where the process surely did not take the connection may another one get it. */
function failedAttempt(error: unknown): Attempt {
  if (!(error instanceof HandlePassError || error instanceof ChannelError)) throw error;
  const { code, message: reason } = error;
  // Of `broken` too: that a process takes a connection, and dies before that is read, is rarer than that it dies.
  return code === 'gone' || code === 'closed' || code === 'broken'
    ? { kind: 'again', reason, isRefused: false }
    : { kind: 'failed', reason };
}

function failureText({ request }: HandoffJob, { pid }: Route, attempt: Exclude<Attempt, { kind: 'passed' }>): string {
  return `${request.service} process ${pid}: ${attempt.reason}`;
}

function idOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : undefined;
}

/** Those that handOff is given are, or behave as far as it matters like one. */
function asSocket(stream: Duplex): ClientSocket {
  return stream as ClientSocket;
}

const ignore = (): undefined => undefined;
