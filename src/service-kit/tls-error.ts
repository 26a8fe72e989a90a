import { CodedError } from '#util/coded-error.js';

/** `handshake`: the client's doing. */
export class TlsError extends CodedError<'not-configured' | 'injected' | 'handshake' | 'timeout'> {
  override readonly name = 'TlsError';
}

export function timeoutError(timeoutMs: number): TlsError {
  return new TlsError('timeout', `TLS handshake took longer than ${timeoutMs} ms`);
}

export function handshakeError(cause: unknown): TlsError {
  const message = cause instanceof Error ? cause.message : 'the client closed the connection';
  return new TlsError('handshake', `TLS handshake failed: ${message}`, { cause });
}
