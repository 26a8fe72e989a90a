// Values of the storage contract. Protocol neutral: IMAP wire forms appear only where they are cached as such (ENVELOPE, BODYSTRUCTURE).

/** A message's unique id in its mailbox, 1 to 2^32-1 (RFC 9051 2.3.1.1). */
export type Uid = number & { readonly brand: 'uid' };

/** Modification sequence, 1 to 2^53-1 (RFC 7162 3.1; JavaScript's safe integers bound it). */
export type ModSeq = number;

/** System flags as bits. `recent` is per view, never stored by a client. */
export const flagBit = { seen: 1, answered: 2, flagged: 4, deleted: 8, draft: 16, recent: 32 } as const;
export type SystemFlag = keyof typeof flagBit;

/** A set of flags: system flags as bits of `flagBit`, keywords in the spelling first used in the mailbox. */
export interface FlagSet {
  readonly system: number;
  readonly keywords: readonly string[];
}

/** What a caller wants to be ready for synchronous access after `MailboxView.prepare`. */
export interface MessageNeeds {
  /** RFC822.SIZE: octets of the message as FETCH BODY[] returns it. */
  readonly size?: boolean;
  readonly internalDate?: boolean;
  readonly saveDate?: boolean;
  /** IMAP wire form, parentheses included (RFC 9051 7.5.2). */
  readonly envelope?: boolean;
  readonly body?: boolean;
  readonly bodyStructure?: boolean;
  /** Header fields by lower-case name, for `headerFieldsAt`. */
  readonly headers?: readonly string[];
  /** RFC 8970 preview text. */
  readonly preview?: boolean;
}

export interface MailboxStatus {
  readonly messages: number;
  readonly recent: number;
  readonly unseen: number;
  readonly deleted: number;
  readonly uidNext: Uid;
  readonly uidValidity: number;
  readonly highestModSeq: ModSeq;
  /** Sum of RFC822.SIZE, octets (RFC 8438); undefined unless asked for. */
  readonly size: number | undefined;
  /** 32 hex digits, from dovecot-uidlist; also the OBJECTID MAILBOXID (RFC 8474). */
  readonly guid: string;
}

/** Limits of one account that storage enforces, octets, messages and mailboxes; undefined: none. */
export interface QuotaLimits {
  readonly storageBytes: number | undefined;
  readonly messages: number | undefined;
  readonly mailboxes: number | undefined;
}
