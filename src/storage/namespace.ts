// `namespace NAME { ... }` blocks and the `mailbox NAME { ... }` blocks inside them.
import type { Section } from '#config/settings-source.js';
import { parseTime } from '#config/value.js';
import { StorageError } from './errors.js';
import type { Levels } from './list/name.js';
import type { ConfiguredMailbox } from './list/visible-list.js';
import type { Namespace, SpecialUse } from './user.js';

/** A block before its location is known, which says what an unset separator is. */
export interface NamespaceBlock {
  readonly name: string;
  readonly type: Namespace['type'];
  readonly prefix: string;
  /** '' for that of the layout. */
  readonly separator: string;
  /** '' for mail_location. */
  readonly location: string;
  /** Prefix of the namespace whose storage this one shows again. */
  readonly aliasFor: string | undefined;
  readonly isInbox: boolean;
  readonly isHidden: boolean;
  readonly list: Namespace['list'];
  readonly subscriptions: boolean;
  readonly ignoreOnFailure: boolean;
  readonly order: number;
  readonly mailboxes: readonly Section[];
}

const specialUses: readonly SpecialUse[] = ['\\All', '\\Archive', '\\Drafts', '\\Flagged', '\\Junk', '\\Sent', '\\Trash', '\\Important'];

/** In the order of the NAMESPACE reply. Without any block there is one with INBOX. @throws StorageError `unavailable` for what cannot work */
export function parseNamespaces(sections: readonly Section[]): readonly NamespaceBlock[] {
  const blocks = sections.filter((section) => section.values['disabled'] !== 'yes').map(parseNamespace);
  if (blocks.length === 0) return [parseNamespace({ kind: 'namespace', name: '', values: { inbox: 'yes' }, sections: [], where: '' })];
  if (!blocks.some((block) => block.isInbox)) throw configError('inbox=yes namespace missing');
  if (blocks.filter((block) => block.isInbox && block.aliasFor === undefined).length > 1)
    throw configError('There can be only one namespace with inbox=yes');
  for (const { aliasFor } of blocks) {
    if (aliasFor !== undefined && !blocks.some((other) => other.prefix === aliasFor && other.aliasFor === undefined)) {
      throw configError(`Invalid namespace alias_for: ${aliasFor}`);
    }
  }
  const prefixes = new Set<string>();
  for (const { prefix } of blocks) {
    if (prefixes.has(prefix)) throw configError(`Duplicate namespace prefix: "${prefix}"`);
    prefixes.add(prefix);
  }
  return blocks
    .map((block, index) => ({ block, index }))
    .sort((a, b) => a.block.order - b.block.order || a.index - b.index)
    .map(({ block }) => block);
}

function parseNamespace({ name, values, sections }: Section): NamespaceBlock {
  const value = (key: string, fallback: string): string => values[key] ?? fallback;
  const type = value('type', 'private');
  const list = value('list', 'yes');
  const separator = value('separator', '');
  if (type !== 'private' && type !== 'shared' && type !== 'public') throw configError(`Unknown namespace type: ${type}`);
  if (list !== 'yes' && list !== 'no' && list !== 'children') throw configError(`Invalid list setting of namespace ${name}: ${list}`);
  if (separator.length > 1) throw configError(`Invalid separator of namespace ${name}: ${separator}`);
  const aliasFor = values['alias_for'];
  return {
    name,
    type,
    prefix: value('prefix', ''),
    separator,
    location: value('location', ''),
    aliasFor,
    isInbox: isYes(value('inbox', 'no')),
    isHidden: isYes(value('hidden', 'no')),
    list,
    subscriptions: isYes(value('subscriptions', 'yes')),
    ignoreOnFailure: isYes(value('ignore_on_failure', 'no')),
    order: Number(value('order', '0')),
    mailboxes: sections.filter((section) => section.kind === 'mailbox'),
  };
}

/** @throws StorageError `unavailable` when the prefix does not end with the separator */
export function checkPrefix({ prefix, separator }: { readonly prefix: string; readonly separator: string }): void {
  if (prefix !== '' && !prefix.endsWith(separator)) {
    throw configError(`Prefix "${prefix}" must end with the separator "${separator}"`);
  }
}

/** @param separator of the namespace */
export function parseMailboxes(sections: readonly Section[], separator: string, isInbox: boolean): readonly ConfiguredMailbox[] {
  return sections.map(({ name, values }) => {
    const auto = values['auto'] ?? 'no';
    const age = parseTime(values['autoexpunge'] ?? '0');
    return {
      levels: levelsOf(name, separator, isInbox),
      auto: auto === 'create' || auto === 'subscribe' ? auto : 'no',
      specialUse: parseSpecialUse(values['special_use'] ?? ''),
      autoexpungeMs: age.kind === 'value' && Number.isFinite(age.value) ? Number(age.value) : 0,
      autoexpungeMaxMails: Number(values['autoexpunge_max_mails'] ?? '0') || 0,
    };
  });
}

function levelsOf(name: string, separator: string, isInbox: boolean): Levels {
  return isInbox && name.toUpperCase() === 'INBOX' ? ['INBOX'] : name.split(separator);
}

export function parseSpecialUse(text: string): readonly SpecialUse[] {
  const wanted = text.toLowerCase().split(/\s+/);
  return specialUses.filter((use) => wanted.includes(use.toLowerCase()));
}

function isYes(text: string): boolean {
  return /^(yes|y|1)$/i.test(text);
}

function configError(text: string): StorageError {
  return new StorageError('unavailable', `namespace configuration error: ${text}`);
}
