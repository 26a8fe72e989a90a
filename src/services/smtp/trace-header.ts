// Header fields that delivery adds in front of a message (RFC 5321 4.4).

export interface TraceFacts {
  readonly hostname: string;
  readonly helo: string;
  readonly remoteIp: string;
  /** `ESMTP`, `ESMTPS`, `LMTP`, ... (RFC 3848, RFC 6531). */
  readonly protocol: string;
  readonly sessionId: string;
  readonly tls: { readonly protocol: string; readonly cipher: string; readonly bits: number } | undefined;
}

const days = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const two = (value: number): string => String(value).padStart(2, '0');

/** RFC 5322 3.3, in the server's zone. */
export function messageDate(date: Date): string {
  const zone = -date.getTimezoneOffset();
  const sign = zone < 0 ? '-' : '+';
  const minutes = Math.abs(zone);
  return `${days[date.getDay()]}, ${date.getDate()} ${months[date.getMonth()]} ${date.getFullYear()} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())} ${sign}${two(Math.floor(minutes / 60))}${two(minutes % 60)}`;
}

/** The Received: field, folded, with line end. `recipient` is left out when there are several (they must not learn of each other). */
export function receivedField(facts: TraceFacts, sender: string, recipient: string | undefined, now: Date): string {
  const from = `from ${facts.helo}${facts.remoteIp === '' ? '' : ` ([${facts.remoteIp.includes(':') ? 'IPv6:' : ''}${facts.remoteIp}])`}`;
  const tls = facts.tls === undefined ? '' : `\r\n\t(using ${facts.tls.protocol} with cipher ${facts.tls.cipher} (${facts.tls.bits} bits))`;
  const target = recipient === undefined ? '' : `\r\n\tfor <${recipient}>`;
  return `Received: ${from}${tls}\r\n\tby ${facts.hostname} with ${facts.protocol}\r\n\tid ${facts.sessionId}\r\n\t(envelope-from <${sender}>)${target}; ${messageDate(now)}\r\n`;
}
