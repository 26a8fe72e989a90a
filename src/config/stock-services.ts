// The services there are without any configuration, as configuration text. `service NAME { }` blocks are laid over them.
//
// Names, listeners and modes are Dovecot's, so that its configuration fits. The limits of login and mail services differ, on purpose:
// - Dovecot runs a process for each connection. A Node process costs about 40 MB and 45 ms to start, a connection inside one some KB and
//   nothing. JavaScript has no buffer overruns for one client to read another's memory with. So processes are shared and live on.
// - imap: 500 clients a process keeps one event loop below a few milliseconds of delay when a tenth of them is active; 32 processes of that
//   are 16,000 connections. pop3 sessions are short and busy: 200.
// - login: one process is always there, so that nobody waits for a start, and 1,000 clients is what Dovecot's high-performance mode has;
//   16 of them hold as many connections as the imap processes, since connections with a TLS older than 1.3 stay in the login process.
// Whoever sets service_count = 1 gets one process for each connection, and as many processes as in Dovecot (stockValues).

export type SettingTexts = Readonly<Record<string, string>>;

export interface StockListener {
  readonly kind: 'unix_listener' | 'inet_listener';
  readonly name: string;
  readonly values: SettingTexts;
}

export interface StockService {
  readonly name: string;
  readonly values: SettingTexts;
  readonly listeners: readonly StockListener[];
  /** process_limit for a block that sets service_count or client_limit itself: what Dovecot has, 0 for default_process_limit. */
  readonly processLimitOfOwnMode?: string;
}

/**
 * Values of a stock service under a block that writes these keys. Few processes are enough as long as many clients share one; a block that
 * says itself how they share comes from a Dovecot configuration, or means its semantics, and expects Dovecot's number of processes.
 */
export function stockValues(service: StockService | undefined, written: ReadonlyMap<string, unknown>): SettingTexts {
  if (service === undefined) return {};
  const { values, processLimitOfOwnMode } = service;
  const choosesMode = written.has('service_count') || written.has('client_limit');
  return processLimitOfOwnMode !== undefined && choosesMode ? { ...values, process_limit: processLimitOfOwnMode } : values;
}

const unix = (name: string, mode: string, user = '', group = ''): StockListener => ({
  kind: 'unix_listener',
  name,
  values: { mode, ...(user === '' ? {} : { user }), ...(group === '' ? {} : { group }) },
});
const inet = (name: string, port: string, ssl: 'yes' | 'no' = 'no'): StockListener => ({
  kind: 'inet_listener',
  name,
  values: { port, ssl },
});

const internal = '$default_internal_user';
const internalGroup = '$default_internal_group';
const login = '$default_login_user';
const never = '4294967295 secs';

const loginService = (protocol: string, listeners: readonly StockListener[]): StockService => ({
  name: `${protocol}-login`,
  values: {
    protocol,
    type: 'login',
    executable: `${protocol}-login`,
    user: login,
    chroot: 'login',
    client_limit: '1000',
    process_limit: '16',
    process_min_avail: '1',
    service_count: '0',
  },
  listeners,
  processLimitOfOwnMode: '0',
});

/**
 * Threads for file work of a mail process. Every fsync occupies one while it waits for the disk, so with libuv's four the appends of
 * several sessions wait for one another.
 */
const mailThreads = '16';

export const stockServices: readonly StockService[] = [
  {
    name: 'anvil',
    values: {
      type: 'anvil',
      executable: 'anvil',
      user: internal,
      chroot: 'empty',
      process_limit: '1',
      process_min_avail: '1',
      client_limit: '4096',
      idle_kill: never,
    },
    // Mail processes and auth announce and ask on the first, login processes only ask, on the last.
    listeners: [unix('anvil', '0660', '', internalGroup), unix('anvil-auth-penalty', '0600'), unix('login/anvil', '0600', login)],
  },
  {
    name: 'auth',
    values: { executable: 'auth', user: internal, process_limit: '1', process_min_avail: '1', client_limit: '4096', idle_kill: never },
    listeners: [
      unix('login/login', '0666'),
      unix('auth-login', '0600', internal),
      unix('auth-client', '0600', internal),
      unix('auth-userdb', '0666', internal),
      unix('auth-master', '0600'),
      unix('token-login/tokenlogin', '0666'),
    ],
  },
  {
    name: 'deliver',
    // Not in Dovecot, whose lmtp is root and changes its effective user. A Node process has one user for all its threads, so smtp and lmtp pass
    // messages for users that they do not run as on to processes that do.
    values: {
      protocol: 'lmtp smtp',
      executable: 'deliver',
      thread_pool_size: mailThreads,
      extra_groups: internalGroup,
      client_limit: '100',
      process_limit: '32',
      service_count: '0',
    },
    listeners: [],
  },
  loginService('imap', [inet('imap', '143'), inet('imaps', '993', 'yes')]),
  loginService('pop3', [inet('pop3', '110'), inet('pop3s', '995', 'yes')]),
  {
    name: 'imap',
    values: {
      protocol: 'imap',
      executable: 'imap',
      thread_pool_size: mailThreads,
      extra_groups: internalGroup,
      client_limit: '500',
      process_limit: '32',
      service_count: '0',
    },
    listeners: [unix('login/imap', '0666'), unix('imap-master', '0600')],
    processLimitOfOwnMode: '1024',
  },
  {
    name: 'imap-hibernate',
    // Dovecot's runs as default_internal_user and gets a descriptor that tells of changes. Node cannot pass one on, so ours watches the folders
    // itself, as the user whose mail it is.
    values: {
      protocol: 'imap',
      executable: 'imap-hibernate',
      extra_groups: internalGroup,
      process_limit: '4',
      client_limit: '10000',
      service_count: '0',
    },
    listeners: [unix('imap-hibernate', '0660', '', internalGroup)],
  },
  {
    name: 'lmtp',
    values: {
      protocol: 'lmtp',
      executable: 'lmtp',
      thread_pool_size: mailThreads,
      extra_groups: internalGroup,
      client_limit: '100',
      process_limit: '8',
      service_count: '0',
    },
    listeners: [unix('lmtp', '0666')],
    processLimitOfOwnMode: '0',
  },
  {
    name: 'pop3',
    values: {
      protocol: 'pop3',
      executable: 'pop3',
      thread_pool_size: mailThreads,
      extra_groups: internalGroup,
      client_limit: '200',
      process_limit: '32',
      service_count: '0',
    },
    listeners: [unix('login/pop3', '0666')],
    processLimitOfOwnMode: '1024',
  },
  {
    name: 'stats',
    // Listens nowhere unless the configuration gives it an inet_listener. It needs nothing but the master's word, so it runs as the login user.
    values: {
      executable: 'stats',
      user: login,
      process_limit: '1',
      client_limit: '100',
    },
    listeners: [],
  },
  {
    name: 'smtp',
    values: {
      protocol: 'smtp',
      executable: 'smtp',
      thread_pool_size: mailThreads,
      extra_groups: internalGroup,
      client_limit: '200',
      process_limit: '8',
      service_count: '0',
    },
    listeners: [inet('smtp', '25')],
  },
];

/** Roles a service may run. */
export const roleNames: ReadonlySet<string> = new Set(stockServices.map(({ name }) => name));
