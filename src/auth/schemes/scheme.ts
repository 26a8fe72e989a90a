// What a password scheme is. `raw` is the stored value after {SCHEME} with its text encoding (hex, base64) removed.
import { CodedError } from '#util/coded-error.js';

export interface SchemeContext {
  /** Whole user name; only DIGEST-MD5 needs it. */
  readonly user: string;
  /** Cost of a new hash in the scheme's own unit (bcrypt: power of two); undefined for its default. */
  readonly rounds: number | undefined;
}

export interface PasswordScheme {
  readonly name: string;
  /** Text form of a stored value when none is named: `{SCHEME.hex}`, `{SCHEME.b64}`. */
  readonly encoding: 'none' | 'hex' | 'base64';
  /** Octets of a value of fixed size (hex and base64 are then told apart by length); 0 when it varies. */
  readonly rawLength: number;
  /** Slow on purpose: worth remembering a success (verified-passwords.ts). */
  readonly isExpensive: boolean;
  /** May run off the event loop. Compares in constant time. @throws PasswordSchemeError `malformed` */
  verify(password: Buffer, raw: Buffer, context: SchemeContext): boolean | Promise<boolean>;
  generate(password: Buffer, context: SchemeContext): Buffer | Promise<Buffer>;
}

export type PasswordSchemeCode = 'unknown-scheme' | 'malformed' | 'bad-rounds' | 'unavailable';

export class PasswordSchemeError extends CodedError<PasswordSchemeCode> {
  override readonly name = 'PasswordSchemeError';
}
