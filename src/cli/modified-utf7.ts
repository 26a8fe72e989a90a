/** Modified UTF-7 of mailbox names (RFC 3501 5.1.3). */
export function encodeModifiedUtf7(name: string): string {
  return name.replace(/&|[^\x20-\x7e]+/g, (run) => {
    if (run === '&') return '&-';
    const octets = Buffer.from(run, 'utf16le').swap16();
    return `&${octets.toString('base64').replace(/=+$/, '').replace(/\//g, ',')}-`;
  });
}
