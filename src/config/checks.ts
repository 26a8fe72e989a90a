// What must fit together before the server may start, with Dovecot's messages. All of it is reported at once.
import { readFileSync } from 'node:fs';
import { dovecotServices } from './dovecot-settings.js';
import { implementedPlugins } from './groups/mail.js';
import { loadWarnings } from './limits.js';
import type { ProblemList } from './problem.js';
import { placeText } from './problem.js';
import type { ConfigBlock, ResolvedConfig } from './resolve.js';
import { generalOf, globalText, type ServiceSettings, serviceSettings } from './service-settings.js';
import { roleNames } from './stock-services.js';
import { didYouMean } from './suggest.js';
import { trustedValue } from './value.js';

export interface CheckOptions {
  /** Look up users on this machine (only meaningful where the server runs as root). */
  readonly checksMachine: boolean;
}

/** Protocols that a service serves, and those of Dovecot that Roost does not have. */
const otherProtocols: ReadonlySet<string> = new Set(['submission', 'sieve', 'none', 'lda', 'doveadm']);

export function checkSettings(config: ResolvedConfig, problems: ProblemList, options: CheckOptions): void {
  if (problems.all.some(({ severity, place }) => severity === 'error' && place === undefined)) return;
  const withoutEffect = [...config.withoutEffect];
  checkEverything(config, problems, options, withoutEffect);
  if (withoutEffect.length === 0) return;
  const shown = withoutEffect.slice(0, maxNamed);
  const rest = withoutEffect.length > shown.length ? ` and ${withoutEffect.length - shown.length} more` : '';
  problems.warning(undefined, `Known settings that Roost does not implement yet, they have no effect: ${shown.join(', ')}${rest}`);
}

const maxNamed = 200;

function checkEverything(config: ResolvedConfig, problems: ProblemList, options: CheckOptions, withoutEffect: string[]): void {
  const place = (key: string) => config.layers[0]?.values.get(key)?.place;
  if (wordsOf(config, 'listen').length === 0) problems.error(place('listen'), "listen can't be set empty", 'listen = *, ::');
  for (const kind of ['uid', 'gid']) {
    const first = numberOf(config, `first_valid_${kind}`);
    const last = numberOf(config, `last_valid_${kind}`);
    if (first !== undefined && last !== undefined && last !== 0 && first > last) {
      const where = place(`last_valid_${kind}`) ?? place(`first_valid_${kind}`);
      problems.error(where, `first_valid_${kind} can't be larger than last_valid_${kind}`, 'last_valid is the highest one, 0 for no limit');
    }
  }
  checkDatabases(config, problems);
  namePlugins(config, withoutEffect);
  // Services read general settings, so those must be right.
  if (problems.hasErrors && !canReadGeneral(config)) return;
  const services = serviceSettings(config);
  checkProtocols(config, services, problems);
  for (const service of services) {
    if (roleNames.has(service.role)) checkService(service, config, problems);
    else checkForeignService(service, config, problems, withoutEffect);
  }
  checkListeners(services, generalOf(config).base_dir, problems);
  for (const { service, key, message, suggestion } of loadWarnings(
    services,
    options.checksMachine ? undefined : Number.POSITIVE_INFINITY,
  )) {
    problems.warning(service.written.get(key) ?? service.place, message, suggestion);
  }
  if (options.checksMachine && process.getuid?.() === 0) checkUsers(services, config, problems);
}

function wordsOf(config: ResolvedConfig, key: string): readonly string[] {
  return (globalText(config, key) ?? '').split(/[\s,]+/).filter((word) => word !== '');
}

function numberOf(config: ResolvedConfig, key: string): number | undefined {
  const definition = config.definitions.get(key);
  const text = globalText(config, key);
  if (definition === undefined || text === undefined || !/^\d+$/.test(text)) return undefined;
  return Number(trustedValue(definition, text));
}

function canReadGeneral(config: ResolvedConfig): boolean {
  try {
    generalOf(config);
    return true;
  } catch {
    return false;
  }
}

function checkDatabases(config: ResolvedConfig, problems: ProblemList): void {
  for (const block of config.layers.flatMap(({ blocks }) => blocks)) {
    if (block.kind !== 'passdb' && block.kind !== 'userdb') continue;
    const driver = block.values.get('driver')?.text ?? '';
    if (driver === '') problems.error(block.place, `${block.kind} is missing driver`, `${block.kind} { driver = passwd-file }`);
  }
}

function namePlugins(config: ResolvedConfig, withoutEffect: string[]): void {
  const named = new Set<string>();
  for (const layer of config.layers) {
    const value = layer.values.get('mail_plugins');
    for (const plugin of value?.text.split(/[\s,]+/) ?? []) {
      if (plugin === '' || implementedPlugins.has(plugin) || named.has(plugin)) continue;
      named.add(plugin);
      withoutEffect.push(`mail_plugins = ${plugin} (${placeText(value?.place)})`);
    }
  }
}

function checkProtocols(config: ResolvedConfig, services: readonly ServiceSettings[], problems: ProblemList): void {
  const served = new Set(services.flatMap(({ protocol }) => protocol.split(' ')).filter((protocol) => protocol !== ''));
  const place = config.layers[0]?.values.get('protocols')?.place;
  const names = generalOf(config).protocols;
  for (const name of names) {
    if (served.has(name)) continue;
    if (otherProtocols.has(name)) {
      if (name !== 'none') problems.warning(place, `protocols: ${name} is not part of Roost yet and is not served`);
    } else
      problems.error(place, `protocols: Unknown protocol: ${name}`, didYouMean(name, served) ?? `known ones: ${[...served].join(', ')}`);
  }
  if (!services.some(({ isEnabled }) => isEnabled)) problems.error(place, 'No services defined');
}

/** Services of which there can be one process only: they hold the state that others ask for. */
const singleServices: ReadonlySet<string> = new Set(['anvil', 'auth']);

function checkService(service: ServiceSettings, config: ResolvedConfig, problems: ProblemList): void {
  const { name, role, written } = service;
  const place = (key: string) => written.get(key) ?? service.place;
  const error = (key: string, text: string, suggestion?: string): void =>
    problems.error(place(key), `service(${name}): ${text}`, suggestion);
  if (service.dropPrivBeforeExec && service.chroot !== '') {
    error('drop_priv_before_exec', "drop_priv_before_exec=yes can't be used with chroot", 'remove one of the two');
  }
  if (service.processMinAvail > service.processLimit) {
    error(
      'process_min_avail',
      'process_min_avail is higher than process_limit',
      `process_limit is ${service.processLimit}; set process_limit to at least ${service.processMinAvail}`,
    );
  }
  if (service.vszLimit < 1024 * 1024) error('vsz_limit', 'vsz_limit is too low', 'a size such as 256 M; 0 for no limit');
  if (singleServices.has(role) && service.processLimit !== 1)
    error('process_limit', 'process_limit must be 1', 'raise client_limit instead');
  if (service.threadPoolSize > 1024) error('thread_pool_size', 'thread_pool_size is higher than 1024');
  const block = config.layers[0]?.blocks.find((candidate) => candidate.kind === 'service' && candidate.name === name);
  for (const inner of block?.blocks ?? []) {
    if (inner.kind !== 'inet_listener' && inner.name === '' && !inner.values.has('path')) {
      problems.error(inner.place, `service(${name}): ${inner.kind}: path must not be empty`, `${inner.kind} PATH {`);
    }
    if (
      inner.kind === 'inet_listener' &&
      !inner.values.has('port') &&
      inner.name !== '' &&
      !service.inetListeners.some((l) => l.name === inner.name)
    ) {
      problems.warning(inner.place, `service(${name}): inet_listener ${inner.name} has no port, it is not opened`, 'port = NUMBER');
    }
    if (inner.kind === 'fifo_listener' && inner.values.get('mode')?.text !== '0') {
      problems.error(inner.place, `service(${name}): fifo_listener is not supported`, 'Roost listens on sockets only; use unix_listener');
    }
  }
}

/** Something is set in the block or in a block inside it. */
function setsAnything(block: ConfigBlock): boolean {
  return block.values.size > 0 || block.blocks.some(setsAnything);
}

function checkForeignService(service: ServiceSettings, config: ResolvedConfig, problems: ProblemList, withoutEffect: string[]): void {
  const { name, role, place, written } = service;
  const block = config.layers[0]?.blocks.find((candidate) => candidate.kind === 'service' && candidate.name === name);
  if (dovecotServices.has(name)) {
    if (block !== undefined && setsAnything(block)) withoutEffect.push(`service ${name} (${placeText(place)})`);
  } else if (service.executable === '') {
    problems.warning(place, `service ${name} has no executable, it is not started`, didYouMean(name, roleNames));
  } else {
    const text = role.startsWith('script') ? 'scripts are not supported yet' : `unknown executable: ${service.executable}`;
    const suggestion = didYouMean(role, roleNames) ?? `roles: ${[...roleNames].join(', ')}`;
    problems.error(written.get('executable') ?? place, `service(${name}): ${text}`, suggestion);
  }
}

function checkListeners(services: readonly ServiceSettings[], baseDir: string, problems: ProblemList): void {
  const seen = new Map<string, string>();
  const claim = (key: string, shown: string, service: ServiceSettings, where: ServiceSettings['place'], setting: string): void => {
    const other = seen.get(key);
    if (other === undefined) seen.set(key, service.name);
    else
      problems.error(
        where ?? service.place,
        `duplicate listener: ${shown}`,
        `service ${other} has it too; change ${setting} in one of them`,
      );
  };
  for (const service of services) {
    if (!service.isEnabled) continue;
    for (const listener of service.unixListeners) {
      claim(listener.path, listener.path, service, listener.place, 'the path');
      if (listener.name.startsWith(`${baseDir.replace(/\/$/, '')}/`)) {
        const short = listener.name.slice(baseDir.replace(/\/$/, '').length + 1);
        problems.error(
          listener.place,
          `You should remove base_dir prefix from unix_listener: ${listener.name}`,
          `unix_listener ${short} {`,
        );
      }
    }
    for (const listener of service.inetListeners) {
      for (const address of listener.addresses) {
        claim(`${address} ${listener.port}`, `${address}:${listener.port}`, service, listener.place, 'port or address');
      }
    }
  }
}

/** Names in /etc/passwd; undefined when it cannot be read. Other sources (LDAP) are asked when the process starts. */
function localUsers(): ReadonlySet<string> | undefined {
  try {
    const nss = readFileSync('/etc/nsswitch.conf', 'utf8');
    // With users from elsewhere too, absence from the file proves nothing.
    if (/^passwd:.*\b(ldap|sss|nis|winbind)\b/m.test(nss)) return undefined;
  } catch {
    // No such file: the files are all there is.
  }
  try {
    return new Set(
      readFileSync('/etc/passwd', 'utf8')
        .split('\n')
        .map((line) => line.split(':', 1)[0] ?? ''),
    );
  } catch {
    return undefined;
  }
}

function checkUsers(services: readonly ServiceSettings[], config: ResolvedConfig, problems: ProblemList): void {
  const users = localUsers();
  if (users === undefined) return;
  const general = generalOf(config);
  const reported = new Set<string>();
  const globalPlace = (key: string) => config.layers[0]?.values.get(key)?.place;
  for (const key of ['default_login_user', 'default_internal_user'] as const) {
    const user = general[key];
    if (users.has(user) || /^\d+$/.test(user)) continue;
    reported.add(user);
    const text =
      key === 'default_login_user' ? `default_login_user doesn't exist: ${user}` : `User doesn't exist: ${user} (See ${key} setting)`;
    problems.error(globalPlace(key), text, `useradd --system ${user}, or set ${key}`);
  }
  for (const service of services) {
    if (!service.isEnabled || service.user === '' || users.has(service.user) || /^\d+$/.test(service.user) || reported.has(service.user))
      continue;
    reported.add(service.user);
    const place = service.written.get('user') ?? service.place;
    problems.error(
      place,
      `User doesn't exist: ${service.user} (See service ${service.name} { user } setting)`,
      `useradd --system ${service.user}`,
    );
  }
}
