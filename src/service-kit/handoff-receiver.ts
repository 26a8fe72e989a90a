// The mail process's half of the hand-off: the private listener, the descriptors, and one answer per connection.
import { createServer, type Server, type Socket } from 'node:net';
import { FramedChannel, readFirstFrame } from '#ipc/channel.js';
import type { PrivateSockets } from '#ipc/control.js';
import { encodeFrame } from '#ipc/frame.js';
import { canPassDescriptors, closeDescriptor, receiveDescriptor } from '#ipc/handle-pass.js';
import {
  type HandoffMessage,
  type HandoffReply,
  maxHandoffFrameBytes,
  parseHandoffMessage,
  type RefusalCode,
  type RelayMessage,
  type StreamMessage,
} from '#ipc/handoff.js';
import type { TlsState } from '#ipc/tls-state.js';
import type { Logger } from '#log/logger.js';
import type { ClientSlot, Clients } from './clients.js';
import { Handed } from './handed.js';
import { type ClientSocket, socketOfDescriptor } from './open-socket.js';
import { RelayedClients } from './relayed-clients.js';
import type { RelayedStream } from './relayed-stream.js';
import type { ClientHandle, HandedConnection } from './role.js';
import { TlsStream } from './tls-stream.js';

const firstFrameTimeoutMs = 10_000;
/** A login process that has connected says at once what it wants. */
const arrivalMs = 5_000;
/** A descriptor whose announcement has not come by then belongs to a login process that died in between; its client waits. One announced later is relayed. */
const unclaimedMs = 5_000;

export interface HandoffReceiverOptions {
  readonly sockets: PrivateSockets;
  readonly clients: Clients;
  readonly handler: (connection: HandedConnection, slot: ClientSlot) => ClientHandle;
  readonly log: Logger;
}

export class HandoffReceiver {
  readonly #options: HandoffReceiverOptions;
  readonly #server: Server;
  readonly #channels = new Set<FramedChannel | RelayedClients>();
  readonly #waiting = new Map<string, { readonly fd: number; readonly atMs: number }>();
  #sweep: NodeJS.Timeout | undefined;
  /** Connections of which it is not known yet what they are. */
  readonly #arriving = new Set<Promise<void>>();

  constructor(options: HandoffReceiverOptions) {
    this.#options = options;
    this.#server = createServer((socket) => {
      const arrival = this.#accept(socket).catch((error: unknown) => {
        options.log.error('handoff.failed', `Hand-off failed: ${String(error)}`, { error });
        socket.destroy();
      });
      this.#arriving.add(arrival);
      void arrival.then(() => this.#arriving.delete(arrival));
    });
    this.#server.on('error', (error) =>
      options.log.error('handoff.listen-failed', `listen(${options.sockets.path}) failed: ${error.message}`, { error }),
    );
    this.#server.listen({ fd: options.sockets.fd, backlog: 1024 });
  }

  /**
   * Resolves when all login processes have heard what was said last, after some seconds at most. Clients must be refused by now.
   *
   * Who writes to a connection that is gone cannot know any more whether what it had offered was taken, so each one is ended in order, those too that
   * wait to be accepted.
   */
  async close(): Promise<void> {
    for (let turn = 0; turn < 2; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    this.#server.close();
    await this.#arrived();
    await Promise.all([...this.#channels].map((channel) => channel.close()));
    for (const { fd } of this.#waiting.values()) closeDescriptor(fd);
    this.#waiting.clear();
    clearTimeout(this.#sweep);
  }

  #arrived(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, arrivalMs);
      void Promise.all(this.#arriving).then(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  async #accept(socket: Socket): Promise<void> {
    socket.on('error', ignore);
    const frame = await readFirstFrame(socket, { maxFrameBytes: maxHandoffFrameBytes, timeoutMs: firstFrameTimeoutMs });
    if (frame === undefined) return;
    const message = parseHandoffMessage(frame.value);
    if (message?.kind === 'channel') this.#openChannel(socket);
    else if (message?.kind === 'streams') this.#openStreams(socket);
    else if (message?.kind === 'relay') this.#takeRelay(socket, message);
    else {
      this.#options.log.warning('handoff.invalid', 'A login process sent something that is no hand-off');
      socket.end(encodeFrame(refused(0, 'invalid')));
    }
  }

  #openChannel(socket: Socket): void {
    const channel: FramedChannel = new FramedChannel(socket, {
      maxFrameBytes: maxHandoffFrameBytes,
      onMessage: (value) => {
        const message = parseHandoffMessage(value);
        if (message?.kind === 'handoff') this.#answer(channel, message);
        else channel.destroy(new Error('no hand-off'));
      },
      onClose: (error) => {
        this.#channels.delete(channel);
        if (error !== undefined)
          this.#options.log.warning('handoff.channel-failed', `Channel to a login process failed: ${error.message}`, { error });
      },
    });
    this.#channels.add(channel);
  }

  #openStreams(socket: Socket): void {
    const clients: RelayedClients = new RelayedClients(socket, {
      refusal: () => this.#refusal(),
      begin: (stream, message) => this.#begin(stream, message),
      takeSocket: (token) => this.#takeSocket(token),
      onClose: (error) => {
        this.#channels.delete(clients);
        if (error !== undefined)
          this.#options.log.warning('handoff.channel-failed', `Channel to a login process failed: ${error.message}`, { error });
      },
    });
    this.#channels.add(clients);
  }

  /** What came with a stream that has moved. */
  #takeSocket(token: string): ClientSocket | undefined {
    const fd = this.#findDescriptor(token);
    if (fd === undefined) return undefined;
    try {
      const socket = socketOfDescriptor(fd, true);
      socket.on('error', ignore);
      return socket;
    } catch {
      closeDescriptor(fd);
      return undefined;
    }
  }

  #answer(channel: FramedChannel, message: HandoffMessage): void {
    const taken = this.#takeDescriptor(message);
    if ('kind' in taken) {
      channel.send(taken);
      return;
    }
    // Before the session says anything: were this process killed in between, the login process would try again with another one, and the client
    // would be answered twice.
    channel.sendNow({ kind: 'taken', id: message.id } satisfies HandoffReply);
    this.#begin(taken, message);
  }

  #takeRelay(socket: Socket, message: RelayMessage): void {
    const code = this.#refusal();
    if (code !== undefined) {
      socket.end(encodeFrame(refused(0, code)));
      return;
    }
    socket.write(encodeFrame({ kind: 'taken', id: 0 } satisfies HandoffReply));
    this.#begin(socket, message);
  }

  #takeDescriptor(message: HandoffMessage): ClientSocket | TlsStream | HandoffReply {
    const fd = this.#findDescriptor(message.token);
    if (fd === undefined) return refused(message.id, 'no-descriptor');
    const code = this.#refusal();
    if (code !== undefined) {
      closeDescriptor(fd);
      return refused(message.id, code);
    }
    let socket: ClientSocket;
    try {
      socket = socketOfDescriptor(fd);
    } catch (error) {
      this.#options.log.error('handoff.no-socket', `The descriptor of ${message.request.user} is no socket: ${String(error)}`, { error });
      closeDescriptor(fd);
      return refused(message.id, 'invalid');
    }
    socket.on('error', ignore);
    return message.tls === undefined ? socket : this.#withTls(socket, message, message.tls);
  }

  #withTls(socket: ClientSocket, { id, request }: HandoffMessage, tls: TlsState): TlsStream | HandoffReply {
    try {
      return new TlsStream(socket, tls);
    } catch (error) {
      this.#options.log.error('handoff.no-tls', `The TLS of ${request.user} cannot go on here: ${String(error)}`, { error });
      socket.destroy();
      return refused(id, 'invalid');
    }
  }

  #refusal(): RefusalCode | undefined {
    const { clients } = this.#options;
    if (clients.isDraining) return 'draining';
    return clients.hasRoom ? undefined : 'full';
  }

  #findDescriptor(token: string): number | undefined {
    if (!this.#waiting.has(token) && canPassDescriptors()) this.#takeWaiting();
    const found = this.#waiting.get(token);
    this.#waiting.delete(token);
    return found?.fd;
  }

  /** Empties the queue, which is short and would hold up the senders. */
  #takeWaiting(): void {
    const { descriptorFd } = this.#options.sockets;
    for (let received = receiveDescriptor(descriptorFd); received !== undefined; received = receiveDescriptor(descriptorFd)) {
      const { fd, token } = received;
      const twin = this.#waiting.get(token);
      if (twin !== undefined) closeDescriptor(twin.fd);
      this.#waiting.set(token, { fd, atMs: performance.now() });
    }
    if (this.#waiting.size > 0) this.#sweep ??= setTimeout(() => this.#closeUnclaimed(), unclaimedMs).unref();
  }

  #closeUnclaimed(): void {
    this.#sweep = undefined;
    const oldestMs = performance.now() - unclaimedMs;
    for (const [token, { fd, atMs }] of this.#waiting) {
      if (atMs > oldestMs) continue;
      closeDescriptor(fd);
      this.#waiting.delete(token);
      this.#options.log.warning('handoff.unclaimed', 'A connection was sent but never announced; its login process must have died');
    }
    if (this.#waiting.size > 0) this.#sweep = setTimeout(() => this.#closeUnclaimed(), unclaimedMs).unref();
  }

  #begin(
    socket: ClientSocket | RelayedStream | TlsStream,
    { ticket, request, readAhead }: HandoffMessage | RelayMessage | StreamMessage,
  ): void {
    const slot = this.#options.clients.take(ticket);
    // Looked at just before, in the same turn.
    if (slot === undefined) throw new Error('no client slot');
    const octets = Buffer.from(readAhead, 'base64');
    if (octets.length > 0) socket.unshift(octets);
    try {
      slot.attach(this.#options.handler(new Handed(socket, request, () => slot.release()), slot), request.sessionId);
    } catch (error) {
      const text = error instanceof Error ? error.stack : String(error);
      this.#options.log.error('handoff.session-failed', `Session of ${request.user} could not be started: ${text}`, { error });
      socket.destroy();
      slot.release();
    }
  }
}

function refused(id: number, code: RefusalCode): HandoffReply {
  return { kind: 'refused', id, code };
}

const ignore = (): undefined => undefined;
