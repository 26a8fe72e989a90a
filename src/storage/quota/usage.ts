export interface UsageCount {
  readonly bytes: number;
  readonly messages: number;
}

/** Where the usage of an account is kept. */
export interface UsageBackend {
  /** May lag a few seconds behind what other processes do. */
  usage(signal: AbortSignal): Promise<UsageCount>;
  /** With what other processes have done until now. */
  currentUsage(signal: AbortSignal): Promise<UsageCount>;
  /** The same, without trusting what was counted before. */
  recount(signal: AbortSignal): Promise<UsageCount>;
  /** What was counted is no longer true: count when asked next. */
  forget(): Promise<void>;
  /** After messages came (positive) or went (negative). */
  add(bytes: number, messages: number): Promise<void>;
}
