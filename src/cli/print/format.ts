// What commands print, and what a format makes of it.
import type { Output } from '../output.js';

/** Plain data for `json`. */
export type JsonValue = string | number | boolean | null | readonly JsonValue[] | { readonly [key: string]: JsonValue };

/**
 * One value. A number is a number in JSON and digits elsewhere. `shown` differs from `json` where people and programs want different
 * things (a list of flags, a time). Long content comes as chunks of UTF-8 or raw octets and is printed while it is read.
 */
export type Cell = string | number | { readonly shown: string; readonly json: JsonValue } | { readonly chunks: AsyncIterable<Uint8Array> };

export interface ColumnSpec {
  /** Key in JSON, and title elsewhere. */
  readonly key: string;
  /** Another title for people. */
  readonly title?: string;
  /** `flow` and `pager` print the value alone; `table` has no header line when this is so of every column. */
  readonly hidesTitle?: boolean;
  /** `table`: to the right, as numbers are. */
  readonly alignsRight?: boolean;
}

/** Rows of one command. `end` writes what is still held back. */
export interface Printer {
  row(cells: readonly Cell[]): Promise<void>;
  end(): Promise<void>;
}

export type PrinterFactory = (columns: readonly ColumnSpec[], output: Output) => Printer;
