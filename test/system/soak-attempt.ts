// One connection of a client in the soak, and how it may end early.

export type SoakKind = 'imap' | 'pop3' | 'lmtp' | 'smtp';
export type SoakSecurity = 'plain' | 'starttls' | 'tls';

/** For finding out why the connection ended. */
export interface Attempt {
  readonly kind: SoakKind;
  readonly security: SoakSecurity;
  /** The mail service listens itself: there is no login process. */
  readonly isDirect: boolean;
  readonly openedAtMs: number;
  /** The client's port and the server's, by which the log names the connection: one port may lead to several of the server's. */
  port: number;
  serverPort: number;
  /** From then on only the processes that the log names can have broken off. */
  isLoggedIn: boolean;
  /** What TLS itself complained of, other than the end of the connection: never the fault of a killed process. */
  tlsError: string | undefined;
}

/** The server said no, in words. */
export class Refused extends Error {}

/** The connection ended without words. */
export class Broken extends Error {}

export const goodbye = /^(\* BYE \[UNAVAILABLE\]|-ERR \[SYS\/TEMP\]|421 4\.3\.2 \S+) Server shutting down/;
