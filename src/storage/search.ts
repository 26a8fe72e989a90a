// Query tree of MailboxView.search: protocol neutral. IMAP SEARCH (RFC 9051 6.4.4), doveadm queries and POP3 build it.
import type { ModSeq, Uid } from './types.js';

export type NumberRange = readonly [first: number, last: number];

export type SearchQuery =
  | { readonly kind: 'all' }
  | { readonly kind: 'and' | 'or'; readonly queries: readonly SearchQuery[] }
  | { readonly kind: 'not'; readonly query: SearchQuery }
  /** Ranges are normalised and ascending, `*` already replaced. */
  | { readonly kind: 'sequence' | 'uid'; readonly ranges: readonly NumberRange[] }
  /** All bits of `system` set (a `flagBit` mask, `recent` allowed). */
  | { readonly kind: 'flags'; readonly system: number }
  | { readonly kind: 'keyword'; readonly keyword: string }
  /** Header field contains text: `field` lower-case; text '' means the field exists. Case-insensitive, decoded (RFC 2047). */
  | { readonly kind: 'header'; readonly field: string; readonly text: string }
  /** BODY (text parts only) or TEXT (headers as well). */
  | { readonly kind: 'body' | 'text'; readonly text: string }
  /** Exclusive bounds, octets. */
  | { readonly kind: 'larger' | 'smaller'; readonly octets: number }
  /**
   * Whole days without time zone (RFC 9051): `from` inclusive, `before` exclusive, days since 1970-01-01. The day of a Date field is the one written
   * in it; internal and save dates are taken in the time zone of the server.
   */
  | {
      readonly kind: 'internal-date' | 'sent-date' | 'save-date';
      readonly fromDay: number | undefined;
      readonly beforeDay: number | undefined;
    }
  /** To the millisecond: `fromMs` inclusive, `beforeMs` exclusive, ms since the epoch. */
  | {
      readonly kind: 'internal-time' | 'sent-time' | 'save-time';
      readonly fromMs: number | undefined;
      readonly beforeMs: number | undefined;
    }
  /** RFC 5032: younger than or older than this many seconds. */
  | { readonly kind: 'younger' | 'older'; readonly seconds: number }
  /** RFC 7162 MODSEQ: at least. */
  | { readonly kind: 'modseq'; readonly atLeast: ModSeq }
  /** RFC 8514 SAVEDATESUPPORTED: constant true. */
  | { readonly kind: 'save-date-supported' }
  | { readonly kind: 'email-id' | 'thread-id'; readonly id: string };

/** UIDs as ranges, ascending, without gaps needing more than one entry per run. */
export type UidRanges = readonly (readonly [first: Uid, last: Uid])[];
