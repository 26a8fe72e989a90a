// Where a command writes.

export interface Output {
  /** Standard output; resolves when more may be written. */
  write(text: string | Uint8Array): Promise<void>;
  /** Standard error, at once. */
  error(text: string): void;
}
