// Which extensions a session turns on: many mixes over a run, the same for the same number.
export interface Profile {
  /** ENABLE QRESYNC (RFC 7162), and SELECT with what the client keeps. */
  readonly isQresync: boolean;
  /** ENABLE UIDONLY (RFC 9586). */
  readonly isUidOnly: boolean;
  /** NOTIFY (RFC 5465): events of the selected mailbox at once, or where expunges are allowed, and STATUS of the others. */
  readonly notify: 'SELECTED' | 'SELECTED-DELAYED' | undefined;
  /** COMPRESS DEFLATE (RFC 4978). */
  readonly compresses: boolean;
  /** How many messages a command may be about (RFC 9738), where the server limits this session. */
  readonly messageLimit: number | undefined;
}

/** @param capabilities what is not offered is not turned on */
export function profileOf(index: number, capabilities: ReadonlySet<string>): Profile {
  const has = (name: string): boolean => capabilities.has(name);
  // Of those with UIDONLY every other one.
  const notify = ({ 2: 'SELECTED', 4: 'SELECTED-DELAYED', 7: 'SELECTED', 8: 'SELECTED', 9: 'SELECTED-DELAYED' } as const)[index % 10];
  const limit = [...capabilities].map((name) => /^MESSAGELIMIT=(\d+)$/.exec(name)?.[1]).find((value) => value !== undefined);
  // What these turn on is judged by replies about all messages.
  if (limit !== undefined) return { isQresync: false, isUidOnly: false, notify: undefined, compresses: false, messageLimit: Number(limit) };
  return {
    isQresync: index % 3 === 1 && has('QRESYNC'),
    isUidOnly: index % 5 === 3 && has('UIDONLY'),
    notify: has('NOTIFY') ? notify : undefined,
    compresses: index % 4 === 0 && has('COMPRESS=DEFLATE'),
    messageLimit: undefined,
  };
}
