// How a command ends: the tagged reply it chose.

export interface Outcome {
  readonly kind: 'ok' | 'no' | 'bad';
  /** Response code without brackets: `COPYUID 1 2 3`. Binary string. */
  readonly code: string | undefined;
  /** For people. */
  readonly text: string;
}

export const ok = (text: string, code?: string): Outcome => ({ kind: 'ok', code, text });
export const no = (text: string, code?: string): Outcome => ({ kind: 'no', code, text });
export const bad = (text: string, code?: string): Outcome => ({ kind: 'bad', code, text });
