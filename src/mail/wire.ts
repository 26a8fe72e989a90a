// ENVELOPE, BODY and BODYSTRUCTURE in IMAP wire form (RFC 9051 7.5.2), made once per message and cached as octets.
import { Buffer } from 'node:buffer';
import { type MailAddress, parseAddressList } from './address.js';
import type { ContentAttributes } from './content-fields.js';
import { FieldSet, fieldText, splitHeader } from './header.js';
import { isMessagePart, type MimePart, type OctetString, type ParameterList } from './mime-part.js';
import { wireNstring, wireString } from './wire-string.js';

const textFields: ReadonlySet<string> = new Set(['date', 'subject', 'in-reply-to', 'message-id']);
const addressFields = ['from', 'sender', 'reply-to', 'to', 'cc', 'bcc'];
const envelopeFields = new FieldSet([...textFields, ...addressFields]);
const fallback: Readonly<Record<string, string>> = { sender: 'from', 'reply-to': 'from' };

/** What a multipart without any part is given: the grammar wants at least one (RFC 9051 body-type-mpart). */
const emptyPart = '("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0';

/**
 * ENVELOPE of a header block, parentheses included.
 *
 * Of repeated text fields the last counts, repeated address fields are joined. Sender and Reply-To fall back to From (RFC 9051 7.5.2).
 */
export function envelope(block: Buffer): Buffer {
  return Buffer.from(envelopeText(block), 'latin1');
}

/** The same as octet string, for embedded messages. */
export function envelopeText(block: Buffer): OctetString {
  const texts = new Map<string, OctetString>();
  const addresses = new Map<string, OctetString>();
  for (const field of splitHeader(block, envelopeFields)) {
    const text = fieldText(block, field);
    if (textFields.has(field.name)) texts.set(field.name, textField(text));
    else addresses.set(field.name, (addresses.get(field.name) ?? '') + addressList(text));
  }
  const text = (name: string): OctetString => texts.get(name) ?? 'NIL';
  const list = (name: string): OctetString => addresses.get(name) || addresses.get(fallback[name] ?? name) || '';
  const nlist = (name: string): OctetString => (list(name) === '' ? 'NIL' : `(${list(name)})`);
  return `(${text('date')} ${text('subject')} ${addressFields.map(nlist).join(' ')} ${text('in-reply-to')} ${text('message-id')})`;
}

/** A text field, unfolded, as ENVELOPE has it. */
export function textField(text: OctetString): OctetString {
  return wireString(singleLine(text));
}

/** A field as clients show it: tabs and lone CRs are spaces. */
function singleLine(text: OctetString): OctetString {
  return text.includes('\t') || text.includes('\r') ? text.replace(/[\t\r]/g, ' ') : text;
}

/** The addresses of one field as ENVELOPE has them, without the parentheses around the list. */
export function addressList(text: OctetString): OctetString {
  let wire = '';
  for (const address of parseAddressList(text)) wire += addressText(address);
  return wire;
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

/** What BODY and BODYSTRUCTURE of a part that is neither multipart nor message have in front of its size, and BODYSTRUCTURE at its end. */
export function leafTexts(attributes: ContentAttributes): { readonly head: OctetString; readonly tail: OctetString } {
  return { head: leafHead(attributes), tail: ` ${wireNstring(attributes.md5)}${extensionText(attributes)}` };
}

function leafHead(part: Omit<ContentAttributes, 'hasType'>): OctetString {
  return `(${wireString(part.type)} ${wireString(part.subtype)} ${parameterText(part)} ${wireNstring(part.contentId)} ${wireNstring(part.description)} ${wireString(part.encoding)} `;
}

function partText(part: MimePart, isExtended: boolean): OctetString {
  if (part.type === 'multipart') return multipartText(part, isExtended);
  let text = `${leafHead(part)}${part.bodyEnd - part.bodyStart}`;
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
  if (part.children.length === 0) text += isExtended ? `${emptyPart} NIL NIL NIL NIL)` : `${emptyPart})`;
  text += ` ${wireString(part.subtype)}`;
  if (isExtended) text += ` ${listText(part.parameters)}${extensionText(part)}`;
  return `${text})`;
}

function parameterText({ type, parameters }: Pick<MimePart, 'type' | 'parameters'>): OctetString {
  // RFC 2045 5.2: text without a charset is US-ASCII; clients that look only at the structure rely on it.
  if (type !== 'text' || parameters.some(([name]) => name === 'charset' || name === 'charset*')) return listText(parameters);
  return listText([...parameters, ['charset', 'us-ascii']]);
}

function listText(parameters: ParameterList): OctetString {
  if (parameters.length === 0) return 'NIL';
  return `(${parameters.map(([name, value]) => `${wireString(name)} ${wireString(value)}`).join(' ')})`;
}

function extensionText({ disposition, language, location }: Pick<MimePart, 'disposition' | 'language' | 'location'>): OctetString {
  const dispositionText = disposition === undefined ? 'NIL' : `(${wireString(disposition.kind)} ${listText(disposition.parameters)})`;
  const languageText = language.length === 0 ? 'NIL' : `(${language.map(wireString).join(' ')})`;
  return ` ${dispositionText} ${languageText} ${wireNstring(location)}`;
}
