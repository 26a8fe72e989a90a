import type { Readable } from 'node:stream';
import { AdminError } from '../exit-codes.js';

/** What `roostadm save` takes. */
const maxMessageBytes = 1024 * 1024 * 1024;

/** A message with CRLF line ends, whatever it comes with. @throws AdminError when it is empty or too large */
export async function readMessage(input: Readable, signal: AbortSignal): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of input) {
    signal.throwIfAborted();
    const piece = Buffer.from(chunk);
    size += piece.length;
    if (size > maxMessageBytes) throw new AdminError('data', `The message is larger than ${maxMessageBytes} octets`);
    chunks.push(piece);
  }
  if (size === 0) throw new AdminError('data', 'No message on standard input');
  return withCrlf(Buffer.concat(chunks));
}

/** Each line feed without a carriage return before it gets one. */
export function withCrlf(message: Buffer): Buffer {
  let bare = 0;
  for (let at = message.indexOf(0x0a); at >= 0; at = message.indexOf(0x0a, at + 1)) if (message[at - 1] !== 0x0d) bare += 1;
  if (bare === 0) return message;
  const result = Buffer.allocUnsafe(message.length + bare);
  let from = 0;
  let to = 0;
  for (let at = message.indexOf(0x0a); at >= 0; at = message.indexOf(0x0a, at + 1)) {
    if (message[at - 1] === 0x0d) continue;
    to += message.copy(result, to, from, at);
    result[to] = 0x0d;
    to += 1;
    from = at;
  }
  message.copy(result, to, from);
  return result;
}
