// The mail process's end of the channel over which a login process relays its clients (docs/ipc.md, "Streams").
import type { Socket } from 'node:net';
import { ChannelError, PendingReplies } from '#ipc/channel.js';
import {
  type HandoffReply,
  type MovedMessage,
  type MoveMessage,
  maxHandoffFrameBytes,
  parseHandoffMessage,
  type RefusalCode,
  type StreamMessage,
} from '#ipc/handoff.js';
import { StreamChannel } from '#ipc/stream-channel.js';
import { CellMap } from '#util/cell-map.js';
import type { ClientSocket } from './open-socket.js';
import { type MoveOutcome, RelayedStream } from './relayed-stream.js';

/** A login process that is slower serves nobody. */
const moveTimeoutMs = 20_000;

export interface RelayedClientsOptions {
  /** Why a client cannot be taken now. */
  readonly refusal: () => RefusalCode | undefined;
  /** A client was taken. */
  readonly begin: (stream: RelayedStream, message: StreamMessage) => void;
  /** The socket that was sent under this token. */
  readonly takeSocket: (token: string) => ClientSocket | undefined;
  readonly onClose: (error: Error | undefined) => void;
}

export class RelayedClients {
  readonly #options: RelayedClientsOptions;
  readonly #channel: StreamChannel;
  /** Replies by streams, whose ids are the login process's. */
  readonly #moves = new PendingReplies<MovedMessage>(moveTimeoutMs);
  readonly #moveOf = new CellMap<number, number>();

  constructor(socket: Socket, options: RelayedClientsOptions) {
    this.#options = options;
    this.#channel = new StreamChannel(socket, {
      maxMessageBytes: maxHandoffFrameBytes,
      onMessage: (value) => this.#receive(value),
      onClose: (error) => {
        this.#moves.failAll(error?.message ?? 'closed the connection');
        options.onClose(error);
      },
    });
  }

  close(): Promise<void> {
    return this.#channel.close();
  }

  /** May throw: that ends the channel, and with it every client of this login process. */
  #receive(value: unknown): void {
    const message = parseHandoffMessage(value);
    if (message?.kind === 'stream') this.#take(message);
    else if (message?.kind === 'moved') this.#moved(message);
    else throw new ChannelError('closed', 'no hand-off');
  }

  #take(message: StreamMessage): void {
    const { id } = message;
    if (this.#channel.isInUse(id)) throw new ChannelError('closed', `stream ${id} is in use`);
    const code = this.#options.refusal();
    if (code !== undefined) {
      this.#channel.send({ kind: 'refused', id, code } satisfies HandoffReply);
      return;
    }
    const stream = new RelayedStream(() => this.#moveOut(id));
    stream.on('error', ignore);
    stream.start(this.#channel.open(id, stream));
    // What the session says follows it on the same connection, so nobody can have read one without the other.
    this.#channel.send({ kind: 'taken', id } satisfies HandoffReply);
    this.#options.begin(stream, message);
  }

  async #moveOut(id: number): Promise<MoveOutcome> {
    let moved: MovedMessage;
    try {
      moved = await this.#moves.request((request) => {
        this.#moveOf.set(id, request);
        this.#channel.send({ kind: 'move', id } satisfies MoveMessage);
      });
    } catch (error) {
      this.#moveOf.take(id);
      if (!(error instanceof ChannelError)) throw error;
      // Whether the stream is one still cannot be known.
      if (error.code === 'timeout')
        this.#channel.destroy(new ChannelError('timeout', `a login process did not answer in ${moveTimeoutMs} ms`));
      return { kind: 'lost' };
    }
    if (moved.token === '') return { kind: 'stays' };
    const socket = this.#options.takeSocket(moved.token);
    return socket === undefined ? { kind: 'lost' } : { kind: 'moved', socket, origin: moved.origin };
  }

  #moved(message: MovedMessage): void {
    const request = this.#moveOf.take(message.id);
    if (request === undefined) throw new ChannelError('closed', `stream ${message.id} was not to be moved`);
    if (message.token !== '') this.#channel.forget(message.id);
    this.#moves.settle(request, message);
  }
}

const ignore = (): undefined => undefined;
