/**
 * Octets as a string: each character is one octet, 0 to 255 (`latin1`). Header text before any charset decoding is kept this way, so that what
 * goes onto the wire is what came in the message.
 */
export type OctetString = string;

/**
 * Parameters in message order. Names are lower-case; continuations (RFC 2231 3) are joined. A name that ends in `*` has an extended value
 * still in the form `charset'language'percent-encoded` (RFC 2231 4), as IMAP sends it; `decodeParameter` of parameters.ts gives plain text.
 */
export type ParameterList = readonly (readonly [name: OctetString, value: OctetString])[];

/**
 * One part of a message with byte offsets into the message as the client sees it (CRLF).
 *
 * header is [headerStart, bodyStart), the empty line included; body is [bodyStart, bodyEnd), without the line end that belongs to the
 * following boundary (RFC 2046 5.1.1). Plain data: survives JSON.
 */
export interface MimePart {
  readonly headerStart: number;
  readonly bodyStart: number;
  readonly bodyEnd: number;
  /** Lines in the header, the empty line included. */
  readonly headerLines: number;
  /** Lines in the body (RFC 9051 body-fld-lines: counted line ends). */
  readonly bodyLines: number;
  /** Lower-case; `text/plain` when absent or broken (`message/rfc822` in a multipart/digest). */
  readonly type: OctetString;
  readonly subtype: OctetString;
  readonly parameters: ParameterList;
  readonly contentId: OctetString | undefined;
  /** Unfolded, RFC 2047 words not decoded. */
  readonly description: OctetString | undefined;
  /** Lower-case, `7bit` when absent. */
  readonly encoding: OctetString;
  readonly md5: OctetString | undefined;
  readonly disposition: { readonly kind: OctetString; readonly parameters: ParameterList } | undefined;
  readonly language: readonly OctetString[];
  readonly location: OctetString | undefined;
  /** ENVELOPE in wire form, only for a message embedded in a message/rfc822 or message/global part. */
  readonly envelope: OctetString | undefined;
  /** Parts of a multipart; for message/rfc822 and message/global one child: the embedded message. */
  readonly children: readonly MimePart[];
}

/** True for message/rfc822 and message/global (RFC 9051 media-message). */
export function isMessagePart(part: { readonly type: string; readonly subtype: string }): boolean {
  return part.type === 'message' && (part.subtype === 'rfc822' || part.subtype === 'global');
}
