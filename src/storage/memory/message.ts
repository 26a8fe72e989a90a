import type { MimePart } from '#mail/mime-part.js';
import type { ModSeq, Uid } from '../types.js';
import type { MessageParts } from './parts.js';

/** One message in memory. Identity matters: views hold these objects, also after the expunge. */
export interface MemoryMessage {
  readonly uid: Uid;
  readonly guid: string;
  readonly content: Buffer;
  readonly internalDateMs: number;
  readonly saveDateMs: number;
  /** `flagBit` mask without `recent`. */
  flags: number;
  /** Interned by the mailbox's keyword table. */
  keywords: readonly string[];
  modSeq: ModSeq;
  /** Modseq of the expunge, 0 while it is there. */
  expungedAt: ModSeq;
  parts: MessageParts | undefined;
  structure: MimePart | undefined;
  preview?: string;
}
