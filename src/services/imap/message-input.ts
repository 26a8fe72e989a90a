import type { MessageLiteral } from '#protocol/imap/decoder.js';
import type { CommandReader } from '#protocol/imap/reader.js';

/** Text of the command up to a message literal or its end. */
export interface Segment {
  readonly reader: CommandReader;
  readonly literal: MessageLiteral | undefined;
}

/** The input of a command with message literals, pulled piece by piece. Pieces that have come already are given at once, not as promises. */
export interface MessageInput {
  /** Behind the command's name, up to the first message literal. */
  readonly head: CommandReader;
  readonly literal: MessageLiteral;
  /** Lets the announced literal come (sends the continuation request when the client waits for it). */
  accept(): void;
  /** Octets of the accepted literal; undefined at its end. @throws ClientGoneError when the connection ends in the middle */
  chunk(): Buffer | undefined | Promise<Buffer | undefined>;
  /** After a literal: what follows it. @throws ImapSyntaxError, ClientGoneError */
  segment(): Segment | Promise<Segment>;
}

/** The client went away in the middle of a command; nothing can be answered. */
export class ClientGoneError extends Error {
  override readonly name = 'ClientGoneError';
}
