// The fields of `roostadm fetch`. Names are Dovecot's.
import { parseMessageDate } from '#mail/date.js';
import { decodeWords } from '#mail/encoded-word.js';
import { fieldText, splitHeader } from '#mail/header.js';
import type { Mailbox, MailboxView, MessageReader } from '#storage/mailbox.js';
import type { MessageNeeds } from '#storage/types.js';
import { AdminError } from '../exit-codes.js';
import type { Cell } from '../print/format.js';
import { dateTimeCell, dateTimeText } from '../time-text.js';
import { flagsCell } from './flags.js';
import { headerRange, partCell, readablePart, renderedText } from './message-content.js';

export interface FetchedMessage {
  readonly user: string;
  readonly mailbox: Mailbox;
  readonly view: MailboxView;
  readonly seq: number;
  /** The same reader each time; whoever prints the row closes it. */
  open(): Promise<MessageReader>;
}

export interface FetchField {
  readonly name: string;
  /** To be prepared for the messages of a slice. */
  readonly needs?: MessageNeeds;
  read(message: FetchedMessage): Cell | Promise<Cell>;
}

type FieldTable = Readonly<Record<string, Omit<FetchField, 'name'>>>;

const absent: Cell = { shown: '', json: null };

/** A list of wire form without its outermost parentheses. */
const unwrapped = (octets: Buffer): string => octets.toString('utf8').replace(/^\(([\s\S]*)\)$/, '$1');

function times(name: string, needs: MessageNeeds, read: (message: FetchedMessage) => number): FieldTable {
  return {
    [name]: { needs, read: (message) => dateTimeCell(read(message)) },
    [`${name}.unixtime`]: { needs, read: (message) => Math.floor(read(message) / 1000) },
  };
}

const fields: FieldTable = {
  user: { read: ({ user }) => user },
  mailbox: { read: ({ mailbox }) => mailbox.name },
  'mailbox-guid': { read: ({ mailbox }) => mailbox.guid },
  seq: { read: ({ seq }) => seq },
  uid: { read: ({ view, seq }) => view.uidAt(seq) },
  guid: { read: ({ view, seq }) => view.guidAt(seq) },
  flags: { read: ({ view, seq }) => flagsCell(view.systemFlagsAt(seq), view.keywordsAt(seq)) },
  modseq: { read: ({ view, seq }) => view.modSeqAt(seq) },
  hdr: {
    read: async (message) => {
      const reader = await message.open();
      return readablePart(reader, await headerRange(reader));
    },
  },
  body: {
    read: async (message) => {
      const reader = await message.open();
      const [, start] = await headerRange(reader);
      return readablePart(reader, [start, reader.size]);
    },
  },
  'body.preview': { needs: { preview: true }, read: ({ view, seq }) => view.previewAt(seq) },
  'body.snippet': { needs: { preview: true }, read: ({ view, seq }) => view.previewAt(seq) },
  text: { read: async (message) => readablePart(await message.open()) },
  'text.utf8': { read: async (message) => renderedText(await message.open()) },
  'size.physical': {
    needs: { size: true },
    read: async (message) => (await message.open()).storedSize ?? message.view.sizeAt(message.seq),
  },
  'size.virtual': { needs: { size: true }, read: ({ view, seq }) => view.sizeAt(seq) },
  ...times('date.received', { internalDate: true }, ({ view, seq }) => view.internalDateAt(seq)),
  ...times('date.saved', { saveDate: true }, ({ view, seq }) => view.saveDateAt(seq)),
  'date.sent': { needs: { headers: ['date'] }, read: (message) => sentDate(message, false) },
  'date.sent.unixtime': { needs: { headers: ['date'] }, read: (message) => sentDate(message, true) },
  'imap.envelope': { needs: { envelope: true }, read: ({ view, seq }) => unwrapped(view.envelopeAt(seq)) },
  'imap.body': { needs: { body: true }, read: ({ view, seq }) => unwrapped(view.bodyAt(seq)) },
  'imap.bodystructure': { needs: { bodyStructure: true }, read: ({ view, seq }) => unwrapped(view.bodyStructureAt(seq)) },
  // Dovecot knows these where messages came from another server with UIDLs of its own; a Maildir keeps none.
  'pop3.uidl': { read: () => absent },
  'pop3.order': { read: () => absent },
  refcount: { read: () => 1 },
  storageid: { read: ({ view, seq }) => view.guidAt(seq) },
};

function sentDate({ view, seq }: FetchedMessage, asSeconds: boolean): Cell {
  const block = view.headerFieldsAt(seq, ['date']);
  const [field] = splitHeader(block);
  const date = field === undefined ? undefined : parseMessageDate(fieldText(block, field));
  if (date === undefined) return absent;
  if (asSeconds) return Math.floor(date.ms / 1000);
  // The time of day of the sender: shown in the zone it was written in.
  const { zoneMinutes, ms } = date;
  const shown = dateTimeText(ms + (zoneMinutes + new Date(ms).getTimezoneOffset()) * 60_000);
  const [hours, minutes] = [Math.floor(Math.abs(zoneMinutes) / 60), Math.abs(zoneMinutes) % 60].map((part) =>
    String(part).padStart(2, '0'),
  );
  return { shown: `${shown} (${zoneMinutes < 0 ? '-' : '+'}${hours}${minutes})`, json: new Date(ms).toISOString() };
}

/** `hdr.subject`, `hdr.subject.utf8`: one line or more for each field of that name. */
function headerField(name: string): Omit<FetchField, 'name'> {
  const isDecoded = name.endsWith('.utf8');
  const field = (isDecoded ? name.slice(0, -'.utf8'.length) : name).toLowerCase();
  return {
    needs: { headers: [field] },
    read: ({ view, seq }) => {
      const block = view.headerFieldsAt(seq, [field]);
      const values = splitHeader(block).map((found) => {
        const text = fieldText(block, found);
        return isDecoded ? decodeWords(text) : Buffer.from(text, 'latin1').toString('utf8');
      });
      return { shown: values.join('\n'), json: values.length === 0 ? null : values.length === 1 ? (values[0] ?? '') : values };
    },
  };
}

/** @param text names separated by blanks @throws AdminError that lists what there is */
export function parseFetchFields(text: string): readonly FetchField[] {
  const names = text.split(/[\s,]+/).filter((name) => name !== '');
  if (names.length === 0) throw new AdminError('usage', `No fetch fields given. ${availableText()}`);
  return names.map((name) => {
    const found = findField(name);
    if (found === undefined) throw new AdminError('usage', `Unknown fetch field: ${name}. ${availableText()}`);
    return { name, ...found };
  });
}

function findField(name: string): Omit<FetchField, 'name'> | undefined {
  if (Object.hasOwn(fields, name)) return fields[name];
  const [prefix = '', rest = ''] = /^(hdr|body|binary)\.(.+)$/.exec(name)?.slice(1) ?? [];
  if (prefix === 'hdr') return headerField(rest);
  if (prefix === 'body' || prefix === 'binary') {
    const section = /^(?:((?:[1-9]\d{0,4}\.)*[1-9]\d{0,4})(?:\.|$))?(header|text|mime)?$/i.exec(rest);
    if (section === null || (prefix === 'binary' && section[2] !== undefined)) return undefined;
    const path = section[1] === undefined ? [] : section[1].split('.').map(Number);
    const kind = sectionKind(section[2]);
    if (kind === 'mime' && path.length === 0) return undefined;
    return { read: async (message) => (await partCell(await message.open(), path, kind, prefix === 'binary')) ?? absent };
  }
  return undefined;
}

function sectionKind(text: string | undefined): 'all' | 'header' | 'text' | 'mime' {
  const kind = text?.toLowerCase();
  return kind === 'header' || kind === 'text' || kind === 'mime' ? kind : 'all';
}

function availableText(): string {
  return `Available fetch fields: hdr.<name> body.<section> binary.<section> ${Object.keys(fields).join(' ')}`;
}
