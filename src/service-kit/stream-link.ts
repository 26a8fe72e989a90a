// Login's end of the channel over which it relays clients to one mail process (docs/ipc.md, "Streams").
import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import { ChannelError, PendingReplies } from '#ipc/channel.js';
import { encodeFrame } from '#ipc/frame.js';
import { canPassDescriptors, closeDescriptor, openSocketPair, sendDescriptor } from '#ipc/handle-pass.js';
import {
  type HandoffReply,
  type MovedMessage,
  maxHandoffFrameBytes,
  maxStreamId,
  parseHandoffReply,
  parseMoveMessage,
  type StreamMessage,
} from '#ipc/handoff.js';
import type { Origin } from '#ipc/peer.js';
import { StreamChannel } from '#ipc/stream-channel.js';
import { type ClientSocket, socketOfDescriptor } from './open-socket.js';
import { Relay } from './relay.js';
import { StreamRelay } from './stream-relay.js';

/** What is relayed, however it is. */
export interface RelayHandle {
  /** Ends both sides at once. */
  destroy(): void;
}

export interface RelayedClient {
  readonly client: ClientSocket;
  readonly message: Omit<StreamMessage, 'kind' | 'id'>;
  readonly originOf: ((fd: number) => Origin) | undefined;
  /** Called once, when both sides have ended. */
  readonly onRelayEnd: () => void;
}

export interface StreamLinkOptions {
  /** Of the mail process; '' when it takes none. */
  readonly descriptorPath: string;
  /** How long an answer may take. */
  readonly replyTimeoutMs: number;
  readonly descriptorTimeoutMs: number;
  readonly onClose: () => void;
}

interface Entry {
  readonly offer: RelayedClient;
  readonly relay: StreamRelay;
  /** What replaced it. */
  moved: Relay | undefined;
  /** It has begun. */
  isStarted: boolean;
  /** The mail process asked for it before that: its answer and the session's first words may come together. */
  isAskedToMove: boolean;
}

export class StreamLink {
  readonly #options: StreamLinkOptions;
  readonly #channel: StreamChannel;
  readonly #replies: PendingReplies<HandoffReply>;
  readonly #entries = new Map<number, Entry>();
  #lastId = 0;

  /** @param socket connected to the private socket of the mail process */
  constructor(socket: Socket, options: StreamLinkOptions) {
    this.#options = options;
    this.#replies = new PendingReplies(options.replyTimeoutMs);
    socket.write(encodeFrame({ kind: 'streams', pid: process.pid }));
    this.#channel = new StreamChannel(socket, {
      maxMessageBytes: maxHandoffFrameBytes,
      onMessage: (value) => this.#receive(value),
      onClose: (error) => {
        this.#replies.failAll(error?.message ?? 'closed the connection');
        options.onClose();
      },
    });
  }

  /** All ids have been used. */
  get isSpent(): boolean {
    return this.#lastId >= maxStreamId;
  }

  /**
   * Offers a client to the mail process. Once it is taken, `start` of what is returned begins to relay.
   * @throws ChannelError
   */
  async offer(offer: RelayedClient): Promise<{ readonly relay: RelayHandle; readonly start: () => void } | HandoffReply> {
    const relay = new StreamRelay(offer.client, () => {
      this.#entries.delete(this.#idOf(relay));
      offer.onRelayEnd();
    });
    const entry: Entry = { offer, relay, moved: undefined, isStarted: false, isAskedToMove: false };
    let reply: HandoffReply | undefined;
    try {
      reply = await this.#replies.request((id) => {
        if (this.#channel.isClosed) throw new ChannelError('closed', 'closed the connection');
        this.#lastId = id;
        relay.use(this.#channel.open(id, relay));
        this.#entries.set(id, entry);
        this.#channel.send({ kind: 'stream', id, ...offer.message } satisfies StreamMessage);
      });
    } finally {
      if (reply?.kind !== 'taken') this.#entries.delete(this.#idOf(relay));
      // The process may still take it, and then learns that nobody is there.
      if (reply === undefined) relay.end?.reset();
    }
    if (reply.kind !== 'taken') return reply;
    return { relay: { destroy: () => (entry.moved ?? relay).destroy() }, start: () => this.#start(entry) };
  }

  #start(entry: Entry): void {
    entry.isStarted = true;
    entry.relay.start();
    if (entry.isAskedToMove) this.#beginMove(this.#idOf(entry.relay));
  }

  #idOf({ end }: StreamRelay): number {
    return end?.id ?? 0;
  }

  /** May throw: that ends the channel. */
  #receive(value: unknown): void {
    const reply = parseHandoffReply(value);
    if (reply !== undefined) {
      this.#replies.settle(reply.id, reply);
      if (reply.kind === 'refused') this.#channel.forget(reply.id);
      return;
    }
    const move = parseMoveMessage(value);
    if (move === undefined) throw new ChannelError('closed', 'a mail process sent something that is no answer');
    const entry = this.#entries.get(move.id);
    if (entry?.isStarted === false) entry.isAskedToMove = true;
    else this.#beginMove(move.id);
  }

  #beginMove(id: number): void {
    this.#move(id).catch(() => this.#stays(id));
  }

  #stays(id: number): void {
    this.#entries.get(id)?.relay.hold(false);
    this.#channel.send({ kind: 'moved', id, token: '' } satisfies MovedMessage);
  }

  /** The stream becomes a socket pair, one end of which goes to the mail process. */
  async #move(id: number): Promise<void> {
    const entry = this.#entries.get(id);
    const { descriptorPath, descriptorTimeoutMs } = this.#options;
    if (entry?.relay.isWhole !== true || descriptorPath === '' || !canPassDescriptors()) return this.#stays(id);
    const { relay, offer } = entry;
    const token = randomUUID();
    relay.hold(true);
    const [own, other] = openSocketPair();
    let origin: Origin | undefined;
    try {
      origin = offer.originOf?.(other);
      await sendDescriptor(descriptorPath, other, token, descriptorTimeoutMs);
    } catch (error) {
      closeDescriptor(own);
      throw error;
    } finally {
      closeDescriptor(other);
    }
    if (!relay.isWhole || this.#channel.isClosed) {
      closeDescriptor(own);
      return this.#stays(id);
    }
    this.#replace(entry, own);
    // Behind everything that was sent for the stream.
    this.#channel.send({ kind: 'moved', id, token, origin } satisfies MovedMessage);
    this.#channel.forget(id);
  }

  #replace(entry: Entry, own: number): void {
    const { relay, offer } = entry;
    this.#entries.delete(this.#idOf(relay));
    const service = socketOfDescriptor(own, true);
    service.on('error', () => undefined);
    const unsent = relay.leave();
    if (unsent.length > 0) service.write(unsent);
    entry.moved = new Relay(relay.client, service, offer.onRelayEnd);
  }

  close(): void {
    void this.#channel.close();
  }
}
