// Facts about a client connection, as they travel between processes.

/** Facts about the remote end, decided once at accept (PROXY protocol and ID forwarding applied). */
export interface Peer {
  /** '' for UNIX sockets. */
  readonly remoteIp: string;
  readonly remotePort: number;
  readonly localIp: string;
  readonly localPort: number;
  /** Undefined on a plaintext connection. */
  readonly tls: TlsFacts | undefined;
  /** TLS, or remote address equal to local address (loopback), or in login_trusted_networks: plaintext passwords are acceptable. */
  readonly isSecured: boolean;
  /** In login_trusted_networks. */
  readonly isTrusted: boolean;
}

export interface TlsFacts {
  readonly protocol: string;
  readonly cipher: string;
  readonly bits: number;
  /** SNI; '' when none. */
  readonly serverName: string;
  /** Verified client certificate's user name, when ssl_verify_client_cert is on. */
  readonly certUsername: string | undefined;
}

/** Where a connection was accepted, so that it can go back there (IMAP's UNAUTHENTICATE). */
export interface Origin {
  /** Name of the login service. */
  readonly service: string;
  /** Name of its listener. */
  readonly listener: string;
  /** By a login process, over this, the peer and the socket itself (service-kit/origin.ts). */
  readonly seal: string;
}

/** What login sends along with a connection, and what a mail process receives. Plain JSON. */
export interface HandoffRequest {
  /** Service to hand to: `imap`, `pop3`. */
  readonly service: string;
  readonly user: string;
  /** Auth request to claim at auth-master (Dovecot's REQUEST): proves that the login process did not invent it. */
  readonly authPid: number;
  readonly authId: number;
  /** Cookie of the login process's auth connection, 32 hex digits, and its CPID. */
  readonly cookie: string;
  readonly loginPid: number;
  /** What auth has sealed about the login (auth/claim-token.ts): with it the mail process need not ask. */
  readonly claim?: string | undefined;
  /** base64, `<...>` in logs. */
  readonly sessionId: string;
  readonly peer: Peer;
  /** Undefined where a connection cannot go back. */
  readonly origin?: Origin | undefined;
  /** Protocol facts of the pre-login part: IMAP tag of LOGIN, whether CAPABILITY was asked for, client ID fields, ... */
  readonly fields: Readonly<Record<string, string>>;
}
