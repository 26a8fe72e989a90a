// What a protocol's pre-login state machine is: octets in, things to do out. It knows no socket and no clock; session.ts drives it.
import type { AuthFailure, AuthMechanism } from '#auth/client.js';

/** Facts that the offer depends on; given anew after STARTTLS. */
export interface PreAuthOffer {
  readonly greeting: string;
  readonly mechanisms: readonly AuthMechanism[];
  /** ID fields of the client go to the authentication. */
  readonly retainsId?: boolean;
  /** RFC 7888: non-synchronizing literals are announced for small ones only. */
  readonly isLiteralMinus?: boolean;
  /** STARTTLS is possible: TLS is configured and not active yet. */
  readonly offersTls: boolean;
  readonly isTls: boolean;
  /** Passwords may be sent as they are. */
  readonly allowsPlaintext: boolean;
  /** `ssl = required` and no TLS: no mechanism at all. */
  readonly requiresTls: boolean;
  /** ID answer: pairs for the client, in wire form (`("name" "Roost")` or `NIL`). */
  readonly idReply: string;
}

export type PreAuthStep =
  | { readonly kind: 'wait' }
  | { readonly kind: 'reply'; readonly text: string; readonly note?: PreAuthNote }
  | { readonly kind: 'starttls'; readonly text: string }
  | { readonly kind: 'auth'; readonly mechanism: string; readonly initialResponse: Buffer | undefined; readonly user: string }
  /** Answer to the last challenge. */
  | { readonly kind: 'response'; readonly octets: Buffer }
  /** The client gave up its exchange, or broke it. */
  | { readonly kind: 'abort'; readonly text: string; readonly note: PreAuthNote }
  | { readonly kind: 'logout'; readonly text: string }
  /** Write and disconnect. */
  | { readonly kind: 'end'; readonly text: string; readonly reason: string }
  /** IMAP ID fields. */
  | { readonly kind: 'client-id'; readonly text: string; readonly fields: readonly (readonly [name: string, value: string])[] };

/** What a refusal means for the log line at the end. */
export type PreAuthNote = 'plaintext-refused' | 'mechanism-refused' | 'aborted' | 'bad-base64' | 'tls-required';

export type RefusalKind = 'user-limit' | 'full' | 'internal';

export interface PreAuthMachine {
  /** ID fields for the authentication (imap_id_retain), names and values quoted in turn; undefined when there are none or they are not kept. */
  readonly retainedId?: string | undefined;
  /** Service name towards auth: `imap`. */
  readonly service: string;
  offer(offer: PreAuthOffer): void;
  greeting(): string;
  push(chunk: Buffer): void;
  next(): PreAuthStep;
  /** Octets that wait. */
  readonly size: number;
  takeRest(): Buffer;
  challenge(octets: Buffer): string;
  /** Ends the exchange. */
  /** @param referral where this user can log in instead, as URL of the protocol (RFC 2221) */
  authFailed(code: AuthFailure, reason: string | undefined, where: string, referral?: string): string;
  /** The client waits long for auth; '' when the protocol has no word for it. */
  stillWaiting(): string;
  /** Login was right but cannot be served; the connection ends after it. */
  refusal(kind: RefusalKind, text: string): string;
  /** The server ends the connection. */
  bye(text: string): string;
  /** For the mail process. */
  handoffFields(): Readonly<Record<string, string>>;
}

/** `Begin TLS` and so on are said three times to a client that does not understand. */
export const maxBadCommands = 3;
/** Password guesses of one connection. */
export const maxSaslResponseBytes = 8192;

/** Strict base64; undefined when it is not. */
export function parseBase64(text: string): Buffer | undefined {
  return text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text) ? Buffer.from(text, 'base64') : undefined;
}

/** SASL PLAIN's message for a user name and password given another way. */
export function plainMessage(user: Buffer, password: Buffer): Buffer {
  return Buffer.concat([Buffer.alloc(1), user, Buffer.alloc(1), password]);
}

export const plaintextRefused = 'Plaintext authentication disallowed on non-secure (SSL/TLS) connections.';
export const tlsRequired = 'Authentication not allowed until SSL/TLS is enabled.';

/** Response code (without brackets) and text of a failed authentication, IMAP's; POP3 maps the codes. */
export function failureText(
  code: AuthFailure,
  reason: string | undefined,
  where: string,
): { readonly code: string | undefined; readonly text: string } {
  switch (code) {
    case 'mismatch':
    case 'anonymous_denied':
      return { code: 'AUTHENTICATIONFAILED', text: reason ?? 'Authentication failed.' };
    case 'temp_fail':
      return { code: 'UNAVAILABLE', text: `Temporary authentication failure. [${where}]` };
    case 'authz_fail':
      return { code: 'AUTHORIZATIONFAILED', text: 'Authorization failed' };
    case 'user_disabled':
      return { code: 'CONTACTADMIN', text: reason ?? 'Login disabled for this user' };
    case 'login_disabled':
      return { code: 'CONTACTADMIN', text: reason ?? 'Login disabled for this user' };
    case 'pass_expired':
      return { code: 'EXPIRED', text: reason ?? 'Password expired' };
    case 'invalid_base64':
      return { code: undefined, text: 'Invalid base64 data in continued response' };
    case 'auth_mech_invalid':
      return { code: undefined, text: 'Unsupported authentication mechanism.' };
    case 'auth_mech_ssl_required':
      return { code: 'PRIVACYREQUIRED', text: tlsRequired };
    case 'aborted':
      return { code: undefined, text: 'Authentication aborted by client.' };
  }
}
