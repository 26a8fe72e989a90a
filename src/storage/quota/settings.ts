// Quota settings: `plugin { quota = maildir:User quota ... }`, with the user's own values from userdb.
import { parseSize } from '#config/value.js';
import { parseLimitLocation } from './limit-file.js';
import { parseQuotaRule, type QuotaRule } from './rules.js';
import { parseQuotaWarning, type QuotaWarning } from './warnings.js';

export interface QuotaRootSettings {
  /** `User quota`: what clients see. */
  readonly name: string;
  readonly backend: 'maildir' | 'count';
  /** Prefix of the only namespace it applies to (`ns=`). */
  readonly namespacePrefix: string | undefined;
  /** Counted, not limited. */
  readonly isEnforced: boolean;
  /** Not shown to clients. */
  readonly isHidden: boolean;
  /** Not there for users without a limit. */
  readonly ignoresUnlimited: boolean;
  readonly rules: readonly QuotaRule[];
  readonly warnings: readonly QuotaWarning[];
  /** As written. */
  readonly grace: string;
}

export interface QuotaSettings {
  readonly roots: readonly QuotaRootSettings[];
  /** Octets of one message; Infinity without limit. */
  readonly maxMailSize: number;
  readonly exceededMessage: string;
  /** File of limits that SETQUOTA sets; undefined: nobody can. */
  readonly limitPath: string | undefined;
  /** This user may set them (Dovecot's userdb field `admin`). */
  readonly maySetLimits: boolean;
  /** Texts for the log. */
  readonly problems: readonly string[];
}

/** Rules, warnings, roots of one kind. */
const maxNumbered = 100;

/** @param read value of a plugin setting, userdb's before the configuration's, variables replaced; undefined when not set */
export function readQuotaSettings(read: (key: string) => string | undefined): QuotaSettings {
  const problems: string[] = [];
  const roots: QuotaRootSettings[] = [];
  for (const rootKey of numberedKeys('quota', read)) {
    const text = read(rootKey) ?? '';
    if (text === '') continue;
    const [backend = '', name = '', ...options] = text.split(':');
    if (backend !== 'maildir' && backend !== 'count') {
      problems.push(`${rootKey} = ${text}: backend ${backend} is not supported, only count and maildir`);
      continue;
    }
    const unknown = options.filter((option) => !/^(ns=.*|noenforcing|hidden|ignoreunlimited|)$/.test(option));
    for (const option of unknown) problems.push(`${rootKey} = ${text}: ${option} has no effect`);
    roots.push({
      name,
      backend,
      namespacePrefix: options.find((option) => option.startsWith('ns='))?.slice(3),
      isEnforced: !options.includes('noenforcing'),
      isHidden: options.includes('hidden'),
      ignoresUnlimited: options.includes('ignoreunlimited'),
      rules: readAll(`${rootKey}_rule`, read, parseQuotaRule, problems),
      warnings: readAll(`${rootKey}_warning`, read, parseQuotaWarning, problems),
      grace: read(`${rootKey}_grace`) ?? '10%',
    });
  }
  const limits = read('quota_set') ?? '';
  const limitPath = parseLimitLocation(limits);
  if (limits !== '' && limitPath === undefined) problems.push(`quota_set = ${limits}: only dict:file:/PATH is supported`);
  return {
    roots,
    maxMailSize: readSize('quota_max_mail_size', read, problems),
    exceededMessage: read('quota_exceeded_message') || 'Quota exceeded (mailbox for user is full)',
    limitPath,
    maySetLimits: limitPath !== undefined && /^y/i.test(read('admin') ?? ''),
    problems,
  };
}

function readAll<Item extends object>(
  key: string,
  read: (key: string) => string | undefined,
  parse: (text: string) => Item | string,
  problems: string[],
): readonly Item[] {
  const items: Item[] = [];
  for (const numbered of numberedKeys(key, read)) {
    const text = read(numbered) ?? '';
    if (text === '') continue;
    const item = parse(text);
    if (typeof item === 'string') problems.push(`${numbered}: ${item}`);
    else items.push(item);
  }
  return items;
}

/** `key`, `key2`, `key3`, ... as long as they are set; `key` itself may be missing when `key2` is there. */
function numberedKeys(key: string, read: (key: string) => string | undefined): readonly string[] {
  const keys: string[] = [];
  for (let number = 1; number <= maxNumbered; number += 1) {
    const numbered = `${key}${number === 1 ? '' : number}`;
    if (read(numbered) !== undefined) keys.push(numbered);
    else if (number > 1) break;
  }
  return keys;
}

function readSize(key: string, read: (key: string) => string | undefined, problems: string[]): number {
  const text = read(key);
  if (text === undefined || text === '' || text === '0') return Number.POSITIVE_INFINITY;
  const parsed = parseSize(text);
  if (parsed.kind === 'value') return Number(parsed.value) || Number.POSITIVE_INFINITY;
  problems.push(`${key}: ${parsed.message}`);
  return Number.POSITIVE_INFINITY;
}
