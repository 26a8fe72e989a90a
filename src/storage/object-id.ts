// Object identifiers (RFC 8474): at most 255 characters out of A-Z a-z 0-9 _ -.
import { createHash } from 'node:crypto';
import { FieldSet, fieldText, splitHeader } from '#mail/header.js';
import { messageIds, referencesOf } from '#mail/thread.js';

const threadFields = new FieldSet(['in-reply-to', 'message-id', 'references']);

/** EMAILID of a message from its GUID: the same for the same GUID, whatever characters a Maildir name has. */
export function emailIdOf(guid: string): string {
  return /^[0-9a-f]{32}$/.test(guid) ? `M${guid}` : `M${createHash('sha256').update(guid, 'utf8').digest('hex').slice(0, 40)}`;
}

/** Header fields that `threadIdOf` reads. */
export const threadIdHeaders: readonly string[] = ['in-reply-to', 'message-id', 'references'];

/**
 * THREADID of a message from its own header alone, so that it never changes and is the same in each mailbox (RFC 8474 5.2): the first message of
 * its References names the thread, else the message it replies to, else itself.
 * @param fields header fields with (at least) those of `threadIdHeaders`
 */
export function threadIdOf(fields: Buffer, guid: string): string {
  const values = new Map<string, string>();
  for (const field of splitHeader(fields, threadFields)) if (!values.has(field.name)) values.set(field.name, fieldText(fields, field));
  const root = referencesOf(values.get('references'), values.get('in-reply-to'))[0] ?? messageIds(values.get('message-id') ?? '')[0];
  return `T${createHash('sha256')
    .update(root === undefined ? `guid ${guid}` : `id ${root}`, 'utf8')
    .digest('hex')
    .slice(0, 40)}`;
}
