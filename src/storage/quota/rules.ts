// Quota rules: `*:storage=1G:messages=10000:mailboxes=500`, `Trash:storage=+10%`, `Spam:ignore`.
import { compilePattern } from '../list/pattern.js';
import type { QuotaLimits } from '../types.js';

/** A limit as written. */
type Amount =
  | { readonly kind: 'absolute'; readonly value: number }
  /** Added to the default limit; negative takes away. */
  | { readonly kind: 'relative'; readonly value: number }
  /** Of the default limit; `isAdded` on top of it. */
  | { readonly kind: 'percent'; readonly value: number; readonly isAdded: boolean };

export interface QuotaRule {
  /** Mailbox name with wildcards; `*` alone is the default, `?` the default where nothing else sets one. */
  readonly mailbox: string;
  /** The mailbox is not counted and not limited. */
  readonly isIgnored: boolean;
  readonly storage: Amount | undefined;
  readonly messages: Amount | undefined;
  /** Of the account; only in rules for `*` and `?`. */
  readonly mailboxes: Amount | undefined;
}

/** @returns a text that says what is wrong, instead of a rule. Variables are already replaced (`%%` is `%`). */
export function parseQuotaRule(text: string): QuotaRule | string {
  const colon = text.indexOf(':');
  if (colon <= 0) return `Invalid quota rule: ${text} (a mailbox name, a colon, limits)`;
  const rule = { mailbox: text.slice(0, colon), isIgnored: false, storage: undefined, messages: undefined, mailboxes: undefined };
  return parseLimits(text.slice(colon + 1).split(':'), rule);
}

function parseLimits(parts: readonly string[], start: QuotaRule): QuotaRule | string {
  let rule = start;
  for (const part of parts) {
    const [key = '', value = ''] = splitOnce(part, '=');
    if (key === 'ignore') rule = { ...rule, isIgnored: true };
    else if (key === 'storage' || key === 'bytes' || key === 'messages' || key === 'mailboxes') {
      const amount = parseAmount(value, key === 'storage' ? 1024 : 1);
      if (key === 'mailboxes' && start.mailbox !== '*' && start.mailbox !== '?') return `Quota limit for * only: ${part}`;
      if (amount === undefined) return `Invalid quota limit: ${part}`;
      rule = key === 'messages' || key === 'mailboxes' ? { ...rule, [key]: amount } : { ...rule, storage: amount };
    } else if (part !== '') return `Unknown quota limit: ${part}`;
  }
  return rule;
}

const unitFactors: Readonly<Record<string, number>> = { b: 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 };

/** @param bareFactor what a number without unit stands for: kilobytes with `storage` */
function parseAmount(text: string, bareFactor: number): Amount | undefined {
  const [, sign = '', digits, unit = ''] = /^([+-]?)(\d+)([bkmgt%]?)b?$/i.exec(text.trim()) ?? [];
  if (digits === undefined) return undefined;
  const value = Number(digits) * (sign === '-' ? -1 : 1);
  if (unit === '%') return { kind: 'percent', value, isAdded: sign !== '' };
  const amount = value * (unitFactors[unit.toLowerCase()] ?? bareFactor);
  return sign === '' ? { kind: 'absolute', value: amount } : { kind: 'relative', value: amount };
}

/** A limit of 0 is none. */
function resolveAmount(amount: Amount | undefined, base: number): number {
  switch (amount?.kind) {
    case undefined:
      return base;
    case 'absolute':
      return amount.value <= 0 ? Number.POSITIVE_INFINITY : amount.value;
    case 'relative':
      return Math.max(0, base + amount.value);
    case 'percent':
      return Math.max(0, Math.floor((amount.isAdded ? base : 0) + (base * amount.value) / 100));
  }
}

/** Limits as numbers, Infinity where there is none. */
export interface NumericLimits {
  readonly storage: number;
  readonly messages: number;
}

/** Those of a whole account. */
export interface RootLimits extends NumericLimits {
  readonly mailboxes: number;
}

/** The rules of one quota root. */
export class QuotaRuleSet {
  readonly #default: RootLimits;
  readonly #mailboxRules: readonly QuotaRule[];

  /** @param set limits that hold in place of those of the rules for `*` and `?` */
  constructor(rules: readonly QuotaRule[], set?: RootLimits) {
    const none = Number.POSITIVE_INFINITY;
    let limits: RootLimits = { storage: none, messages: none, mailboxes: none };
    for (const mailbox of ['?', '*']) {
      for (const rule of rules.filter((candidate) => candidate.mailbox === mailbox)) {
        limits = {
          storage: resolveAmount(rule.storage, limits.storage),
          messages: resolveAmount(rule.messages, limits.messages),
          mailboxes: resolveAmount(rule.mailboxes, limits.mailboxes),
        };
      }
    }
    this.#default = set ?? limits;
    this.#mailboxRules = rules.filter(({ mailbox }) => mailbox !== '*' && mailbox !== '?');
  }

  get default(): RootLimits {
    return this.#default;
  }

  get hasLimits(): boolean {
    const { storage, messages, mailboxes } = this.#default;
    return [storage, messages, mailboxes].some(Number.isFinite) || this.#mailboxRules.length > 0;
  }

  isIgnored(mailbox: string, separator: string): boolean {
    return this.#ruleFor(mailbox, separator)?.isIgnored === true;
  }

  /** What the whole account may hold when a message goes into this mailbox. */
  limitsFor(mailbox: string, separator: string): RootLimits {
    const rule = this.#ruleFor(mailbox, separator);
    if (rule === undefined) return this.#default;
    const { storage, messages, mailboxes } = this.#default;
    return { storage: resolveAmount(rule.storage, storage), messages: resolveAmount(rule.messages, messages), mailboxes };
  }

  #ruleFor(mailbox: string, separator: string): QuotaRule | undefined {
    return (
      this.#mailboxRules.find((rule) => rule.mailbox.toLowerCase() === mailbox.toLowerCase() && rule.mailbox.toUpperCase() === 'INBOX') ??
      this.#mailboxRules.find((rule) => rule.mailbox === mailbox) ??
      this.#mailboxRules.find((rule) => compilePattern(rule.mailbox, separator).matches(mailbox))
    );
  }
}

export function toQuotaLimits({ storage, messages, mailboxes }: RootLimits): QuotaLimits {
  return {
    storageBytes: Number.isFinite(storage) ? storage : undefined,
    messages: Number.isFinite(messages) ? messages : undefined,
    mailboxes: Number.isFinite(mailboxes) ? mailboxes : undefined,
  };
}

export function fromQuotaLimits({ storageBytes, messages, mailboxes }: QuotaLimits): RootLimits {
  const none = Number.POSITIVE_INFINITY;
  return { storage: storageBytes ?? none, messages: messages ?? none, mailboxes: mailboxes ?? none };
}

/** What a mailbox may hold beyond the limit for one more delivery: `10%`, `50M`; base is the storage limit. */
export function graceBytes(text: string, storageLimit: number): number {
  const amount = parseAmount(text, 1);
  if (amount === undefined || !Number.isFinite(storageLimit)) return 0;
  return resolveAmount(amount.kind === 'absolute' && amount.value === 0 ? undefined : amount, amount.kind === 'percent' ? storageLimit : 0);
}

/** A threshold: `storage=95%`, `-messages=1000`. */
export interface QuotaThreshold {
  readonly resource: 'storage' | 'messages';
  /** Crossed downwards. */
  readonly isBelow: boolean;
  /** For given limits. Infinity: never reached. */
  valueFor(limits: NumericLimits): number;
}

/** @returns undefined when the text is not one */
export function parseThreshold(text: string): QuotaThreshold | undefined {
  const [, minus = '', resource = '', value = ''] = /^([+-]?)(storage|bytes|messages)=(\S+)$/.exec(text) ?? [];
  if (resource === '') return undefined;
  const kind = resource === 'messages' ? 'messages' : 'storage';
  const amount = parseAmount(value, resource === 'storage' ? 1024 : 1);
  if (amount === undefined || amount.kind === 'relative') return undefined;
  return { resource: kind, isBelow: minus === '-', valueFor: (limits) => resolveAmount(amount, limits[kind]) };
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at === -1 ? [text, ''] : [text.slice(0, at), text.slice(at + separator.length)];
}
