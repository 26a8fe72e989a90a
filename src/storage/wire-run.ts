// What views tell of many messages that follow each other, without an object for any of them.
import type { Buffer } from 'node:buffer';

/** UIDs and flags of many messages as they lie in memory; message `seq` has the row `seq - 1`. */
export interface FlagColumns {
  readonly uid: Uint32Array;
  /** `flagBit` masks. */
  readonly flags: Uint8Array;
  readonly keywordSet: Uint32Array;
  readonly keywordsOf: (keywordSet: number) => readonly string[];
}

/** A form that the storage keeps as the client gets it. */
export type WireForm = 'envelope' | 'body' | 'bodyStructure';

/** Where the forms are put. */
export interface WireRoom {
  readonly octets: Buffer;
  /** Start and end in `octets` of each form of each message, in the order asked for; has room for all messages. */
  readonly places: Uint32Array;
}

/** Good until anything is waited for. Message `seq` has the row `seq - 1`. */
export interface WireRun extends FlagColumns {
  /** RFC822.SIZE; 2^32-1: not known. */
  readonly virtualSize: Uint32Array;
  /** Seconds since 1970; 2^32-1: not known. */
  readonly internalDate: Uint32Array;
  /** Messages, from the first one asked for, of which all forms are there; none of them is expunged. */
  readonly count: number;
}
