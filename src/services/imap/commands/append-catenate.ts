// CATENATE (RFC 4469): a message put together from literals and from parts of messages that are there.
import { type CatenatePart, nextCatenatePart } from '#protocol/imap/commands/catenate.js';
import { encodeBadUrl, parseImapUrl } from '#protocol/imap/imap-url.js';
import type { MessageWriter } from '#storage/mailbox.js';
import type { MessageInput, Segment } from '../message-input.js';
import { no, type Outcome } from '../outcome.js';
import type { Session } from '../session.js';
import { openUrl } from '../url-content.js';

/** Octets of one message, whatever it is put together from. */
const maxMessageBytes = 1_073_741_824;

/**
 * Writes the parts; the reader stands behind `CATENATE (`.
 * @param input undefined when the command has no literal
 * @returns where the command goes on behind the closing parenthesis, or the reply when it is refused
 */
export async function receiveParts(
  session: Session,
  writer: MessageWriter,
  input: MessageInput | undefined,
  start: Segment,
  signal: AbortSignal,
): Promise<Segment | Outcome> {
  const { imap_append_limit: appendLimit } = session.settings;
  const limit = appendLimit > 0 ? appendLimit : maxMessageBytes;
  let segment = start;
  let total = 0;
  for (let isFirst = true; ; isFirst = false) {
    const part: CatenatePart = nextCatenatePart(segment.reader, isFirst, segment.literal !== undefined);
    switch (part.kind) {
      case 'end':
        return total === 0 ? no("Can't save a zero byte message.") : segment;
      case 'url': {
        const url = parseImapUrl(part.url);
        await using content = url === undefined || url.access !== undefined ? undefined : await openUrl(session, url, signal);
        if (content === undefined) return no('Nothing is there.', encodeBadUrl(part.url));
        total += content.size;
        if (total > limit) return no('Message is too large.', 'TOOBIG');
        for await (const chunk of content.chunks()) await writer.write(chunk);
        break;
      }
      case 'text': {
        if (input === undefined || segment.literal === undefined) return segment.reader.fail('Missing literal.');
        total += segment.literal.size;
        if (total > limit) return no('Message is too large.', 'TOOBIG');
        input.accept();
        for (let chunk = await input.chunk(); chunk !== undefined; chunk = await input.chunk()) await writer.write(chunk);
        segment = await input.segment();
        if (part.isUtf8) segment.reader.char(')');
      }
    }
  }
}
