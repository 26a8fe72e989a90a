/** A parameter list in message order, names lower-case, values decoded per RFC 2231 but not per RFC 2047. */
export type ParameterList = readonly (readonly [name: string, value: string])[];

/**
 * One part of a message with byte offsets into the message as the client sees it (CRLF).
 *
 * header is [headerStart, bodyStart), the empty line included; body is [bodyStart, bodyEnd), without the line end that belongs to the
 * following boundary (RFC 2046 5.1.1).
 */
export interface MimePart {
  readonly headerStart: number;
  readonly bodyStart: number;
  readonly bodyEnd: number;
  /** Lines in the body (RFC 9051 body-fld-lines: counted line ends). */
  readonly bodyLines: number;
  /** Lower-case; `text/plain` when absent or broken. */
  readonly type: string;
  readonly subtype: string;
  readonly parameters: ParameterList;
  readonly contentId: string | undefined;
  readonly description: string | undefined;
  /** Lower-case, `7bit` when absent. */
  readonly encoding: string;
  readonly md5: string | undefined;
  readonly disposition: { readonly kind: string; readonly parameters: ParameterList } | undefined;
  readonly language: readonly string[];
  readonly location: string | undefined;
  /** Parts of a multipart; for message/rfc822 and message/global one child: the embedded message. */
  readonly children: readonly MimePart[];
}
