// Which blocks there are, where they may stand and which settings they take. Values of blocks reach the processes as text; the definitions
// here check them, give their defaults, and document them.
import { boolean, choice, defineSettings, list, octal, port, type SettingDefinition, size, string, time, uint } from './define.js';

export interface SectionSchema {
  readonly kind: string;
  /** Undefined: any key, unchecked (`plugin`, `dict`). */
  readonly settings: Readonly<Record<string, SettingDefinition>> | undefined;
  /** Blocks allowed inside. */
  readonly sections: readonly string[];
  readonly needsName?: boolean;
  /** May stand at top level and in filters. */
  readonly isTopLevel?: boolean;
  readonly doc: string;
}

const databaseResults = ['return', 'return-ok', 'return-fail', 'continue', 'continue-ok', 'continue-fail'] as const;

export const passdbSettings = defineSettings('passdb', {
  driver: string('', 'Kind of database: passwd-file, static'),
  args: string('', "The driver's own settings: scheme=, username_format= and the path of the file"),
  default_fields: string('', 'Fields set before the lookup; what the database returns replaces them'),
  override_fields: string('', 'Fields set after the lookup, replacing what the database returned'),
  mechanisms: list('', 'SASL mechanisms this database is asked for; empty: all; none: lookups without authentication'),
  username_filter: string('', 'User name patterns with * and ?, ! to exclude; empty: all'),
  skip: choice(['never', 'authenticated', 'unauthenticated'], 'never', 'When an earlier database has already decided, do not ask this one'),
  result_success: choice(databaseResults, 'return-ok', 'What happens after success'),
  result_failure: choice(databaseResults, 'continue', 'What happens after a wrong password or an unknown user'),
  result_internalfail: choice(databaseResults, 'continue', 'What happens when the database cannot answer'),
  deny: boolean('no', 'Users found here are refused'),
  pass: boolean('no', 'Older way to write result_success = continue'),
  master: boolean('no', 'Asked only for master users'),
  auth_verbose: choice(['default', 'yes', 'no'], 'default', 'Replaces auth_verbose for this database'),
});

export const userdbSettings = defineSettings('userdb', {
  driver: string('', 'Kind of database: static, passwd-file, prefetch'),
  args: string('', "The driver's own settings; for static: uid=, gid=, home= and other fields"),
  default_fields: string('', 'Fields set before the lookup; what the database returns replaces them'),
  override_fields: string('', 'Fields set after the lookup, replacing what the database returned'),
  skip: choice(['never', 'found', 'notfound'], 'never', 'When an earlier database has already decided, do not ask this one'),
  result_success: choice(databaseResults, 'return-ok', 'What happens when the user was found'),
  result_failure: choice(databaseResults, 'continue', 'What happens when the user is unknown'),
  result_internalfail: choice(databaseResults, 'continue', 'What happens when the database cannot answer'),
  auth_verbose: choice(['default', 'yes', 'no'], 'default', 'Replaces auth_verbose for this database'),
});

export const namespaceSettings = defineSettings('namespace', {
  type: choice(['private', 'shared', 'public'], 'private', 'Whose mailboxes the namespace holds'),
  separator: string('', 'Character between levels of a mailbox name; empty: . for Maildir++, / otherwise'),
  prefix: string('', 'What mailbox names of this namespace begin with; ends with the separator'),
  location: string('', 'Where the mail is; empty: mail_location'),
  alias_for: string('', 'Prefix of the namespace that this one is another name of'),
  inbox: boolean('no', 'This namespace holds INBOX; exactly one does'),
  hidden: boolean('no', 'Left out of the NAMESPACE reply'),
  list: choice(['yes', 'no', 'children'], 'yes', 'Show its mailboxes in LIST; children: only when there are any'),
  subscriptions: boolean('yes', 'Keeps its own subscriptions instead of handing them to the parent namespace'),
  ignore_on_failure: boolean('no', 'Leave the namespace out when it cannot be opened'),
  disabled: boolean('no', 'Treated as if it were not there'),
  order: uint('0', 'Place in the NAMESPACE reply, lower first'),
});

export const mailboxSettings = defineSettings('mailbox', {
  auto: choice(['no', 'create', 'subscribe'], 'no', 'Make the mailbox by itself, and subscribe to it'),
  special_use: string('', 'Attributes such as \\Sent, \\Drafts, \\Trash (RFC 6154)'),
  driver: string('', 'Storage format, when it is not the namespace\u2019s'),
  comment: string('', 'Default comment shown by METADATA'),
  autoexpunge: time('0', 'Age at which messages are removed at log-out; 0: never'),
  autoexpunge_max_mails: uint('0', 'Number of messages above which the oldest are removed at log-out; 0: no limit'),
});

export const serviceBlockSettings = defineSettings('service', {
  protocol: string('', 'Started only when this protocol is listed in protocols'),
  type: choice(['', 'log', 'config', 'anvil', 'login', 'startup', 'worker'], '', 'Special treatment by the master'),
  executable: string('', 'Role that the processes run'),
  user: string('', 'User the processes run as; empty: the master\u2019s'),
  group: string('', 'Primary group'),
  privileged_group: string('', 'No effect, Maildir needs none; use extra_groups'),
  extra_groups: string('', 'Further groups'),
  chroot: string('', 'Directory the processes are confined to'),
  drop_priv_before_exec: boolean('no', 'Drop rights before the role is loaded'),
  process_min_avail: uint('0', 'Processes kept ready that can take a client'),
  process_limit: uint('0', 'Most processes; 0: default_process_limit'),
  client_limit: uint('0', 'Most clients of one process at a time; 0: default_client_limit'),
  service_count: uint('0', 'Clients a process serves before it ends; 0 or unlimited: no end', { unlimited: true }),
  idle_kill: time('0', 'Idle processes beyond process_min_avail end after this time; 0: default_idle_kill', { unlimited: true }),
  vsz_limit: size('18446744073709551615 B', 'Memory of one process; not set: default_vsz_limit; 0: no limit'),
  thread_pool_size: uint('0', 'Threads for file and hash work (1 to 1024); 0: 4, what Node starts'),
  listen_backlog: uint('0', 'Waiting connections the kernel holds; 0: process_limit times client_limit, within somaxconn'),
});

export const unixListenerSettings = defineSettings('unix_listener', {
  path: string('', 'Path of the socket; the name of the block when empty'),
  mode: octal('0600', 'Access mode; 0: not opened'),
  user: string('', 'Owner'),
  group: string('', 'Group'),
  type: string('', 'What is spoken on it, when the name does not say'),
});

export const inetListenerSettings = defineSettings('inet_listener', {
  address: string('', 'Addresses separated by commas or blanks; empty: listen'),
  port: port('0', 'Port; 0: not opened'),
  ssl: boolean('no', 'TLS from the first octet'),
  reuse_port: boolean(
    'no',
    'Another program, such as a second instance, may listen on the same port; processes of a service share a socket anyway',
  ),
  haproxy: boolean('no', 'Connections begin with a PROXY protocol header'),
  tcp_keepalive: time('120 s', 'Idle time before the kernel probes a silent peer; 0: no probes'),
});

const metricSettings = defineSettings('metric', {
  filter: string('', 'Events that count'),
  event_name: string('', 'Older form of filter'),
  source_location: string('', 'Older form of filter'),
  categories: string('', 'Older form of filter'),
  fields: string('', 'Event fields that are summed'),
  group_by: string('', 'Event fields that make a figure each'),
  exporter: string('', 'Name of an event_exporter block'),
  exporter_include: string('name hostname timestamps categories fields', 'Parts of an exported event'),
  description: string('', 'Text shown with the figures'),
});

const eventExporterSettings = defineSettings('event_exporter', {
  format: string('', 'json, tab-text or none'),
  format_args: string('', 'Options of the format'),
  transport: string('', 'log, http-post, file, unix or drop'),
  transport_args: string('', 'Where to'),
  transport_timeout: time('250 msecs', 'Give up after'),
});

const schemas: readonly SectionSchema[] = [
  { kind: 'passdb', settings: passdbSettings.settings, sections: [], isTopLevel: true, doc: 'A password database. Asked in file order.' },
  { kind: 'userdb', settings: userdbSettings.settings, sections: [], isTopLevel: true, doc: 'A user database. Asked in file order.' },
  {
    kind: 'namespace',
    settings: namespaceSettings.settings,
    sections: ['mailbox'],
    isTopLevel: true,
    doc: 'A tree of mailboxes. Without any, there is one with inbox = yes.',
  },
  { kind: 'mailbox', settings: mailboxSettings.settings, sections: [], needsName: true, doc: 'A mailbox with a purpose, in a namespace.' },
  {
    kind: 'service',
    settings: serviceBlockSettings.settings,
    sections: ['unix_listener', 'fifo_listener', 'inet_listener'],
    needsName: true,
    isTopLevel: true,
    doc: 'A pool of processes.',
  },
  { kind: 'unix_listener', settings: unixListenerSettings.settings, sections: [], doc: 'A UNIX socket of a service.' },
  { kind: 'fifo_listener', settings: unixListenerSettings.settings, sections: [], doc: 'Not supported.' },
  { kind: 'inet_listener', settings: inetListenerSettings.settings, sections: [], doc: 'A TCP port of a service.' },
  { kind: 'plugin', settings: undefined, sections: [], isTopLevel: true, doc: 'Settings of optional parts, not checked.' },
  { kind: 'dict', settings: undefined, sections: [], isTopLevel: true, doc: 'Names of dictionaries.' },
  {
    kind: 'metric',
    settings: metricSettings.settings,
    sections: ['filter', 'labels'],
    needsName: true,
    isTopLevel: true,
    doc: 'A figure.',
  },
  { kind: 'filter', settings: undefined, sections: [], doc: 'Older form of the filter setting.' },
  { kind: 'labels', settings: undefined, sections: [], doc: 'Labels of a metric.' },
  {
    kind: 'event_exporter',
    settings: eventExporterSettings.settings,
    sections: [],
    needsName: true,
    isTopLevel: true,
    doc: 'Where events go.',
  },
];

export const sectionSchemas: ReadonlyMap<string, SectionSchema> = new Map(schemas.map((schema) => [schema.kind, schema]));

/** Kinds of blocks that are accepted and have no effect yet. */
export const idleSectionKinds: ReadonlySet<string> = new Set(['dict', 'metric', 'event_exporter', 'fifo_listener']);
