// ENVELOPE, BODY and BODYSTRUCTURE in IMAP wire form (RFC 9051 7.5.2), made once per message and cached as octets.
import { Buffer } from 'node:buffer';
import { type MailAddress, parseAddressList } from './address.js';
import { FieldSet, fieldText, splitHeader } from './header.js';
import { isMessagePart, type MimePart, type OctetString, type ParameterList } from './mime-part.js';
import { wireNstring, wireString } from './wire-string.js';

const envelopeFields = new FieldSet(['date', 'subject', 'from', 'sender', 'reply-to', 'to', 'cc', 'bcc', 'in-reply-to', 'message-id']);

/** What a multipart without any part is given: the grammar wants at least one (RFC 9051 body-type-mpart). */
const emptyPart = '("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0';

/** ENVELOPE of a header block, parentheses included. Fields that appear more than once: the last counts, as in Dovecot. */
export function envelope(block: Buffer): Buffer {
  return Buffer.from(envelopeText(block), 'latin1');
}

/** The same as octet string, for embedded messages. */
export function envelopeText(block: Buffer): OctetString {
  const found = new Map<string, OctetString>();
  for (const field of splitHeader(block, envelopeFields)) found.set(field.name, fieldText(block, field));
  const from = addressList(found.get('from'));
  const list = (name: string): string => addressList(found.get(name));
  const orFrom = (text: string): string => (text === 'NIL' ? from : text);
  const text = (name: string): string => wireNstring(found.get(name));
  return `(${text('date')} ${text('subject')} ${from} ${orFrom(list('sender'))} ${orFrom(list('reply-to'))} ${list('to')} ${list('cc')} ${list('bcc')} ${text('in-reply-to')} ${text('message-id')})`;
}

function addressList(text: OctetString | undefined): OctetString {
  if (text === undefined) return 'NIL';
  const list = parseAddressList(text);
  if (list.length === 0) return 'NIL';
  let wire = '(';
  for (const address of list) wire += addressText(address);
  return `${wire})`;
}

function addressText({ name, route, mailbox, host }: MailAddress): OctetString {
  return `(${wireNstring(name)} ${wireNstring(route)} ${wireNstring(mailbox)} ${wireNstring(host)})`;
}

/** BODY without extension data, parentheses included. */
export function body(part: MimePart): Buffer {
  return Buffer.from(partText(part, false), 'latin1');
}

/** BODYSTRUCTURE, parentheses included. */
export function bodyStructure(part: MimePart): Buffer {
  return Buffer.from(partText(part, true), 'latin1');
}

function partText(part: MimePart, isExtended: boolean): OctetString {
  if (part.type === 'multipart' && part.children.length > 0) return multipartText(part, isExtended);
  const size = part.bodyEnd - part.bodyStart;
  let text = `(${wireString(part.type)} ${wireString(part.subtype)} ${parameterText(part)} ${wireNstring(part.contentId)} ${wireNstring(part.description)} ${wireString(part.encoding)} ${size}`;
  const [embedded] = part.children;
  if (isMessagePart(part) && embedded !== undefined) {
    text += ` ${embedded.envelope ?? '(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)'} ${partText(embedded, isExtended)} ${part.bodyLines}`;
  } else if (part.type === 'text') text += ` ${part.bodyLines}`;
  if (isExtended) text += ` ${wireNstring(part.md5)}${extensionText(part)}`;
  return `${text})`;
}

function multipartText(part: MimePart, isExtended: boolean): OctetString {
  let text = '(';
  for (const child of part.children) text += partText(child, isExtended);
  text += ` ${wireString(part.subtype)}`;
  if (isExtended) text += ` ${listText(part.parameters)}${extensionText(part)}`;
  return `${text})`;
}

function parameterText(part: MimePart): OctetString {
  // RFC 2045 5.2: text without parameters is US-ASCII; clients that look only at the structure rely on it.
  return part.type === 'text' && part.parameters.length === 0 ? '("charset" "us-ascii")' : listText(part.parameters);
}

function listText(parameters: ParameterList): OctetString {
  if (parameters.length === 0) return 'NIL';
  return `(${parameters.map(([name, value]) => `${wireString(name)} ${wireString(value)}`).join(' ')})`;
}

function extensionText({ disposition, language, location }: MimePart): OctetString {
  const dispositionText = disposition === undefined ? 'NIL' : `(${wireString(disposition.kind)} ${listText(disposition.parameters)})`;
  const [first] = language;
  const languageText = first === undefined ? 'NIL' : language.length === 1 ? wireString(first) : `(${language.map(wireString).join(' ')})`;
  return ` ${dispositionText} ${languageText} ${wireNstring(location)}`;
}
