/** RFC 2221: a user that passdb refuses here (`nologin`) but names another server for (`host`, `port`). An address with brackets has no place in a response code. */
export function referralOf(protocol: string, user: string, fields: Readonly<Record<string, string>>): string | undefined {
  const { host, port } = fields;
  if (protocol !== 'imap' || host === undefined || !/^[A-Za-z0-9._-]+$/.test(host)) return undefined;
  const isPort = port !== undefined && /^\d{1,5}$/.test(port) && port !== '143';
  return `imap://${encodeURIComponent(user)};AUTH=*@${host}${isPort ? `:${port}` : ''}/`;
}
