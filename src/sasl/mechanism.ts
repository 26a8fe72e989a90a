// Server side of SASL mechanisms (RFC 4422). A mechanism sees octets and asks its backend; it knows no sockets and no databases.

/** How a user may be named in an exchange. */
export interface SaslIdentity {
  /** Who the client says it is. */
  readonly authenticationId: string;
  /** Whom it wants to act as; '' for itself. */
  readonly authorizationId: string;
}

/** Stored forms that mechanisms can work with. */
export type SaslCredentials =
  | { readonly kind: 'plain'; readonly password: string }
  | {
      readonly kind: 'scram';
      readonly hash: 'sha1' | 'sha256';
      readonly iterations: number;
      readonly salt: Buffer;
      readonly storedKey: Buffer;
      readonly serverKey: Buffer;
    }
  /** HMAC-MD5 key states, 32 octets. */
  | { readonly kind: 'cram-md5'; readonly states: Buffer };

/** Which form a mechanism asks for. */
export type CredentialForm = 'scram-sha1' | 'scram-sha256' | 'cram-md5';

/** What mechanisms need from the authentication service. Failures are not told apart here: the backend keeps the reason. */
export interface SaslBackend {
  /** True when the password is right. */
  verifyPassword(identity: SaslIdentity, password: string): Promise<boolean>;
  /** True when this name needs no password (EXTERNAL: the certificate proved it). */
  acceptWithoutPassword(identity: SaslIdentity): Promise<boolean>;
  /**
   * Looks up credentials and ends with what `check` says about them; `check` is not called for unknown users.
   */
  verifyCredentials(identity: SaslIdentity, form: CredentialForm, check: (credentials: SaslCredentials) => boolean): Promise<boolean>;
  /** User name of the verified client certificate; '' when there is none. */
  readonly certificateUser: string;
}

export type SaslStep =
  | { readonly kind: 'challenge'; readonly octets: Buffer }
  | { readonly kind: 'success'; readonly finalData: Buffer | undefined }
  | { readonly kind: 'failure' }
  /** The client broke the rules of the mechanism: the log says how. */
  | { readonly kind: 'malformed'; readonly reason: string };

export interface SaslServer {
  /** @param response undefined at the start when the client sent no initial response */
  step(response: Buffer | undefined): Promise<SaslStep>;
}

export interface SaslMechanism {
  readonly name: string;
  /** Flags of the MECH line. */
  readonly flags: readonly ('plaintext' | 'anonymous' | 'dictionary' | 'active' | 'forward-secrecy' | 'mutual-auth' | 'private')[];
  start(backend: SaslBackend): SaslServer;
}

/** Longest decoded response of any mechanism here. */
export const maxResponseBytes = 8192;

/** Passwords with these are refused: they cannot be told from protocol separators, and no database holds them. */
export const hasForbiddenCharacter = (text: string): boolean => /[\0\u0001\t\r\n]/.test(text);

const decoder = new TextDecoder('utf-8', { fatal: true });

/** Text of a response; undefined when it is not UTF-8. */
export function decodeUtf8(octets: Buffer): string | undefined {
  try {
    return decoder.decode(octets);
  } catch {
    return undefined;
  }
}
