// What the processes of a service count for `roostadm metrics` and the stats service. Each sends what was added since its last status; the master
// adds up, so that nothing is lost when a process ends. Closed: a process that a client has taken over can make no others.

export const countNames = [
  /** Login roles, mail roles in direct mode: clients that have logged in, and have a session. */
  'logins',
  /** Logins that mail_max_userip_connections refused. */
  'user-limit-refusals',
  /** Logins that no mail process could take. */
  'no-process-refusals',
  /** auth: requests by outcome. */
  'auth-ok',
  'auth-failed',
  'auth-temporary',
  'auth-cache-hits',
  'auth-cache-misses',
  /** lmtp, smtp and deliver: messages by recipient. */
  'saved',
  'save-failed',
  /** The process was too busy: new clients had to wait, and were refused. */
  'busy-waits',
  'busy-refusals',
] as const;

export type CountName = (typeof countNames)[number];
export type Counts = Readonly<Partial<Record<CountName, number>>>;

const known: ReadonlySet<string> = new Set(countNames);

export function isCountName(name: string): name is CountName {
  return known.has(name);
}
