// GETMETADATA and SETMETADATA (RFC 5464).
import { decodeUtf8 } from '../grammar.js';
import type { CommandReader } from '../reader.js';

export interface GetMetadataCommand {
  /** Undefined: the server's entries. */
  readonly mailbox: string | undefined;
  /** Lower-case. */
  readonly entries: readonly string[];
  readonly depth: '0' | '1' | 'infinity';
  /** Octets; larger values are left out. */
  readonly maxSize: number | undefined;
}

export interface SetMetadataCommand {
  readonly mailbox: string | undefined;
  /** Value undefined: remove. */
  readonly entries: readonly { readonly name: string; readonly value: Buffer | undefined }[];
}

const maxEntryNameBytes = 1024;
const maxEntries = 100;

/**
 * Entry names are ASCII without wildcards, begin with /private/ or /shared/ and have no empty component (RFC 5464 3.2). Case does not matter.
 * Those of vendors have four components at least.
 * @param isPartial also the names above them, for DEPTH
 */
export function parseEntryName(reader: CommandReader, isPartial: boolean): string {
  const name = decodeUtf8(reader.astring()).toLowerCase();
  if (name.length > maxEntryNameBytes) reader.fail('Entry name is too long.');
  if (!/^[\x20-\x7e]*$/.test(name) || /[*%]/.test(name)) reader.fail('Invalid entry name: invalid characters');
  if (name.includes('//') || name.endsWith('/')) reader.fail('Invalid entry name: empty component');
  const isKnown = name.startsWith('/private/') || name.startsWith('/shared/') || (isPartial && (name === '/private' || name === '/shared'));
  if (!isKnown) reader.fail("Invalid entry name: must begin with '/shared/' or '/private/'");
  if (!isPartial && /^\/(?:private|shared)\/vendor(?:\/[^/]*)?$/.test(name))
    reader.fail('Invalid entry name: a vendor has entries below its name');
  return name;
}

interface Options {
  depth: GetMetadataCommand['depth'];
  maxSize: number | undefined;
}

function parseOptions(reader: CommandReader, options: Options): void {
  const given = reader.list(() => {
    const name = reader.word('option');
    reader.space();
    if (name === 'MAXSIZE') options.maxSize = reader.number();
    else if (name === 'DEPTH') options.depth = parseDepth(reader);
    else reader.fail(`Unknown option ${name}`);
  });
  if (given.length === 0) reader.fail('Empty option list.');
}

function parseDepth(reader: CommandReader): Options['depth'] {
  const depth = reader.word('depth').toLowerCase();
  return depth === '0' || depth === '1' || depth === 'infinity' ? depth : reader.fail('Invalid depth');
}

function parseMailbox(reader: CommandReader): string | undefined {
  const mailbox = reader.mailbox();
  return mailbox === '' ? undefined : mailbox;
}

/** Options come before the mailbox; clients written after the examples of RFC 5464 put them behind it. */
export function parseGetMetadata(reader: CommandReader): GetMetadataCommand {
  const options: Options = { depth: '0', maxSize: undefined };
  reader.space();
  if (reader.isAtList) {
    parseOptions(reader, options);
    reader.space();
  }
  const mailbox = parseMailbox(reader);
  reader.space();
  const start = reader.position;
  if (/^\((?:MAXSIZE|DEPTH) /i.test(reader.text.slice(start, start + 9))) {
    parseOptions(reader, options);
    reader.space();
  }
  const entries = reader.isAtList ? reader.list(() => parseEntryName(reader, true)) : [parseEntryName(reader, true)];
  if (entries.length === 0) reader.fail('Empty entry list.');
  if (entries.length > maxEntries) reader.fail('Too many entries.');
  reader.end();
  return { mailbox, entries, ...options };
}

export function parseSetMetadata(reader: CommandReader): SetMetadataCommand {
  reader.space();
  const mailbox = parseMailbox(reader);
  reader.space();
  const entries = reader.list(() => {
    const name = parseEntryName(reader, false);
    reader.space();
    return { name, value: reader.tryWord('NIL') ? undefined : reader.stringOctets() };
  });
  if (entries.length === 0) reader.fail('Empty entry list.');
  if (entries.length > maxEntries) reader.fail('Too many entries.');
  reader.end();
  return { mailbox, entries };
}
