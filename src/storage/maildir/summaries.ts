// What is worked out of small messages that nothing is known of: written as cache records at once, and what the client gets are pieces of them.
import { Buffer } from 'node:buffer';
import { MessageSummary } from '#mail/message-summary.js';
import type { CacheRecords } from '../index/cache-file.js';
import { CacheRecordWriter, sectionKind } from '../index/cache-record.js';
import type { MessageNeeds } from '../types.js';

export interface Contents {
  envelope: Buffer | undefined;
  body: Buffer | undefined;
  bodyStructure: Buffer | undefined;
  /** Octets that hold at least the fields `headerNames`; undefined names: the whole header. */
  header: Buffer | undefined;
  preview: string | undefined;
}

/** One for each list of names, which most mailboxes have the same: those of common clients. */
const summaryOfNames = new Map<string, MessageSummary>();
const maxSummaries = 16;

function summaryOf(names: readonly string[]): MessageSummary {
  const key = names.join('\n');
  let summary = summaryOfNames.get(key);
  if (summary === undefined) {
    if (summaryOfNames.size >= maxSummaries) summaryOfNames.clear();
    summary = new MessageSummary(names);
    summaryOfNames.set(key, summary);
  }
  return summary;
}

export class Summaries {
  readonly #needs: MessageNeeds;
  readonly #list: number | undefined;
  readonly #summary: MessageSummary;
  readonly #writer = new CacheRecordWriter();
  #uids: number[] = [];
  #lengths: number[] = [];

  /**
   * @param list number of the list of header names that records hold, undefined: there is no cache
   * @param names the names of the list, lower-case
   */
  constructor(needs: MessageNeeds, list: number | undefined, names: readonly string[]) {
    this.#needs = needs;
    this.#list = list;
    this.#summary = summaryOf(names);
  }

  /** @param message the whole message as the client sees it; not needed afterwards */
  add(uid: number, message: Buffer): Contents {
    const needs = this.#needs;
    const summary = this.#summary;
    const writer = this.#writer;
    const { out } = writer;
    summary.begin(message);
    writer.begin(uid, 0);
    // A header read for one thing is used for all: clients ask for the rest soon.
    writer.openSection(sectionKind.envelope, 0);
    summary.putEnvelope(out);
    const envelopeAt = writer.closeSection();
    const envelopeEnd = out.at - out.start;
    let bodyAt = 0;
    let bodyEnd = 0;
    let structureAt = 0;
    let structureEnd = 0;
    if (needs.body === true || needs.bodyStructure === true) {
      writer.openSection(sectionKind.body, 0);
      summary.putBody(out);
      bodyAt = writer.closeSection();
      bodyEnd = out.at - out.start;
      writer.openSection(sectionKind.bodyStructure, 0);
      summary.putBodyStructure(out);
      structureAt = writer.closeSection();
      structureEnd = out.at - out.start;
    }
    let headerAt = 0;
    let headerEnd = 0;
    if (this.#list !== undefined) {
      writer.openSection(sectionKind.header, this.#list);
      summary.putKept(out);
      headerAt = writer.closeSection();
      headerEnd = out.at - out.start;
    }
    const length = writer.end();
    if (length > 0) {
      this.#uids.push(uid);
      this.#lengths.push(length);
    }
    const { bytes, start } = out;
    const piece = (from: number, to: number): Buffer => {
      const octets = bytes.subarray(start + from, start + to);
      // What is no record is overwritten by the next one.
      return length > 0 ? octets : Buffer.from(octets);
    };
    return {
      envelope: needs.envelope === true ? piece(envelopeAt, envelopeEnd) : undefined,
      body: needs.body === true ? piece(bodyAt, bodyEnd) : undefined,
      bodyStructure: needs.bodyStructure === true ? piece(structureAt, structureEnd) : undefined,
      header: needs.headers === undefined ? undefined : this.#header(message, piece(headerAt, headerEnd)),
      preview: undefined,
    };
  }

  /**
   * Envelope and header fields alone, for the cache alone; there is one.
   * @param head the first octets of the message as the client sees it
   * @returns false, and nothing is added, when the header may go on behind them
   */
  addHead(uid: number, head: Buffer, isWhole: boolean): boolean {
    const summary = this.#summary;
    const writer = this.#writer;
    const { out } = writer;
    summary.begin(head);
    if (!isWhole && summary.headerBytes === head.length) return false;
    writer.begin(uid, 0);
    writer.openSection(sectionKind.envelope, 0);
    summary.putEnvelope(out);
    writer.closeSection();
    writer.openSection(sectionKind.header, this.#list ?? 0);
    summary.putKept(out);
    writer.closeSection();
    const length = writer.end();
    if (length === 0) return false;
    this.#uids.push(uid);
    this.#lengths.push(length);
    return true;
  }

  /** What has been added since the last call, for the cache. */
  take(): CacheRecords {
    const records = { uids: this.#uids, lengths: this.#lengths, blocks: this.#writer.out.take() };
    this.#uids = [];
    this.#lengths = [];
    return records;
  }

  /** Fields that the list has, else all. */
  #header(message: Buffer, kept: Buffer): Buffer {
    return this.#list !== undefined ? kept : Buffer.from(message.subarray(0, this.#summary.headerBytes));
  }
}
