// Names that Dovecot renamed over the years. They are converted, each with a warning.
import { readWhole, relativeTo, systemErrorText } from './files.js';
import type { ConfigNode, SectionNode, SettingNode } from './parser.js';
import type { Place, ProblemList } from './problem.js';

const renamed: ReadonlyMap<string, string> = new Map([['imap_zlib_compress_level', 'imap_compress_deflate_level']]);

/** Settings that took a path where today the contents are wanted, `<path`. */
const takesContents: ReadonlyMap<string, string> = new Map([
  ['ssl_cert_file', 'ssl_cert'],
  ['ssl_key_file', 'ssl_key'],
  ['ssl_ca_file', 'ssl_ca'],
]);

/** Settings that Dovecot dropped and itself only warns about. */
const removed: ReadonlySet<string> = new Set([
  'auth_count',
  'auth_process_size',
  'auth_worker_max_request_count',
  'login_dir',
  'login_chroot',
  'login_greeting_capability',
  'ssl_parameters_regenerate',
  'ssl_dh_parameters_length',
  'mail_process_size',
  'login_process_size',
  'login_processes_count',
  'login_max_processes_count',
  'login_max_connections',
  'login_process_per_connection',
  'login_user',
  'login_executable',
  'mail_executable',
  'mail_drop_priv_before_exec',
]);

/** Where 2.3 puts what an old top-level setting meant. */
const moved: ReadonlyMap<string, string> = new Map([
  ['auth_worker_max_request_count', 'service auth-worker { service_count }'],
  ['mail_process_size', 'service imap { vsz_limit }'],
  ['login_process_size', 'service imap-login { vsz_limit }'],
  ['login_processes_count', 'service imap-login { process_min_avail }'],
  ['login_max_processes_count', 'service imap-login { process_limit }'],
  ['login_max_connections', 'service imap-login { client_limit }'],
  ['login_process_per_connection', 'service imap-login { service_count }'],
  ['login_user', 'service imap-login { user }'],
  ['login_executable', 'service imap-login { executable }'],
  ['mail_executable', 'service imap { executable }'],
  ['mail_drop_priv_before_exec', 'service imap { drop_priv_before_exec }'],
]);

/** Oldest version that an `ssl_protocols` list leaves on: `!SSLv2 !SSLv3` gives TLSv1. */
function oldestProtocol(text: string): string {
  const versions = ['SSLv3', 'TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'];
  const words = text.split(/\s+/).filter((word) => word !== '');
  const wanted = words.filter((word) => !word.startsWith('!'));
  const usable = versions.filter((version) => (wanted.length === 0 || wanted.includes(version)) && !words.includes(`!${version}`));
  return usable[0] ?? 'TLSv1.2';
}

/**
 * What a setting is called today. Undefined: it has no meaning any more (already reported).
 * @param section kind of the block it stands in, '' at top level
 */
export function modernise(node: SettingNode, section: string, problems: ProblemList): SettingNode | undefined {
  const warn = (text: string): void => problems.warning(node.place, `Obsolete setting in ${node.place.file}:${node.place.line}: ${text}`);
  if (section === 'service') return moderniseService(node);
  if (section === 'inet_listener' && node.key === 'listen') return { ...node, key: 'address' };
  if (section !== '') return node;
  if (node.key === 'ssl_protocols') {
    warn('ssl_protocols has been replaced by ssl_min_protocol');
    return { ...node, key: 'ssl_min_protocol', text: oldestProtocol(node.text) };
  }
  if (node.key === 'ssl_disable') {
    warn('ssl_disable has been renamed to ssl');
    return { ...node, key: 'ssl', text: node.text === 'yes' ? 'no' : 'yes' };
  }
  const contents = takesContents.get(node.key);
  if (contents !== undefined) {
    warn(`${node.key} has been replaced by ${contents} = <file`);
    return { ...node, key: contents, ...readContents(node, problems) };
  }
  if (removed.has(node.key)) {
    const place = moved.get(node.key);
    warn(place === undefined ? `${node.key} has been removed` : `${node.key} has been replaced by ${place}`);
    return undefined;
  }
  const name = renamed.get(node.key);
  if (name === undefined) return node;
  warn(`${node.key} has been renamed to ${name}`);
  return { ...node, key: name };
}

function readContents(node: SettingNode, problems: ProblemList): { readonly text: string; readonly file?: string } {
  if (node.file !== undefined || node.text === '') return { text: node.text };
  const file = relativeTo(node.place.file, node.text);
  try {
    return { text: readWhole(file).toString('utf8'), file };
  } catch (error) {
    problems.error(node.place, `${node.key}: Can't open file ${file}: ${systemErrorText(error)}`);
    return { text: '', file };
  }
}

/** The newer dialect's names of service settings mean the same and are no reason for a warning. */
function moderniseService(node: SettingNode): SettingNode {
  if (node.key === 'restart_request_count') return { ...node, key: 'service_count' };
  if (node.key === 'idle_kill_interval') return { ...node, key: 'idle_kill' };
  return node;
}

/** Sections with old names. */
export function moderniseSection(node: SectionNode, problems: ProblemList): SectionNode {
  const rename = (place: Place, from: string, to: string): void =>
    problems.warning(place, `Obsolete setting in ${place.file}:${place.line}: ${from} has been renamed to ${to}`);
  if (node.type === 'protocol' && node.name === 'managesieve') {
    rename(node.place, 'protocol managesieve {}', 'protocol sieve {}');
    return { ...node, name: 'sieve' };
  }
  if (node.type === 'service' && node.name === 'dns_client') {
    rename(node.place, 'service dns_client {}', 'service dns-client {}');
    return { ...node, name: 'dns-client' };
  }
  return node;
}

const namedKinds: ReadonlySet<string> = new Set([
  'service',
  'namespace',
  'passdb',
  'userdb',
  'mailbox',
  'metric',
  'event_exporter',
  'protocol',
]);

/** `service/imap/process_limit = 3` into the blocks it stands for; other nodes as they are. */
export function unfoldPath(node: SettingNode): ConfigNode {
  const parts = node.key.split('/');
  const key = parts.pop();
  if (key === undefined || parts.length === 0 || parts.length > 8) return node;
  const headers: { type: string; name: string }[] = [];
  while (parts.length > 0) {
    const type = parts.shift() ?? '';
    headers.push({ type, name: namedKinds.has(type) || type.endsWith('_listener') ? (parts.shift() ?? '') : '' });
  }
  return headers.reduceRight<ConfigNode>(
    (inner, { type, name }) => ({ kind: 'section', type, name, children: [inner], place: node.place }),
    {
      ...node,
      key,
    },
  );
}
