export interface UsageCount {
  readonly bytes: number;
  readonly messages: number;
}

/** Where the usage of an account is kept. */
export interface UsageBackend {
  usage(signal: AbortSignal): Promise<UsageCount>;
  /** The same, without trusting what was counted before. */
  recount(signal: AbortSignal): Promise<UsageCount>;
  /** After messages came (positive) or went (negative). */
  add(bytes: number, messages: number): Promise<void>;
}
