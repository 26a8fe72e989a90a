// `service NAME { }` blocks over the stock services: typed settings and effective limits of every pool.
import { isAbsolute, join } from 'node:path';
import type { SettingDefinition, SettingsOf } from './define.js';
import { generalSettings } from './groups/general.js';
import { packSettings, unpackSettings } from './pack.js';
import type { Place } from './problem.js';
import type { ConfigBlock, ResolvedConfig, WrittenValue } from './resolve.js';
import { inetListenerSettings, serviceBlockSettings, unixListenerSettings } from './section-schema.js';
import { type SettingTexts, type StockListener, type StockService, stockServices, stockValues } from './stock-services.js';
import { parseValue, trustedValue } from './value.js';

export interface UnixListener {
  readonly kind: 'unix';
  /** As written: `login/imap`, `/var/spool/postfix/private/auth`. */
  readonly name: string;
  /** Absolute. */
  readonly path: string;
  /** Permission bits; listeners with 0 are left out. */
  readonly mode: number;
  /** '' means the master's. */
  readonly user: string;
  readonly group: string;
  readonly type: string;
  readonly place: Place | undefined;
}

export interface InetListener {
  readonly kind: 'inet';
  readonly name: string;
  /** `*`, `::` or addresses, never empty. */
  readonly addresses: readonly string[];
  /** Never 0: such listeners are left out. */
  readonly port: number;
  /** TLS from the first octet. */
  readonly isTls: boolean;
  readonly haproxy: boolean;
  readonly reusePort: boolean;
  /** 0: no probes. */
  readonly keepAliveMs: number;
  readonly place: Place | undefined;
}

export interface ServiceSettings {
  readonly name: string;
  /** '' or the protocol that must be listed in `protocols`. */
  readonly protocol: string;
  readonly type: string;
  /** Role to run, with arguments removed; '' for none. */
  readonly role: string;
  readonly executable: string;
  readonly user: string;
  readonly group: string;
  readonly privilegedGroup: string;
  readonly extraGroups: readonly string[];
  /** Absolute, or ''. */
  readonly chroot: string;
  readonly dropPrivBeforeExec: boolean;
  readonly processMinAvail: number;
  /** Effective, at least 1. */
  readonly processLimit: number;
  /** Effective: the default applied and capped by serviceCount. */
  readonly clientLimit: number;
  /** Before the cap, for explanations. */
  readonly writtenClientLimit: number;
  /** From the configuration or the stock service, not default_client_limit. */
  readonly hasOwnClientLimit: boolean;
  /** Infinity: no end. */
  readonly serviceCount: number;
  /** Infinity: never. */
  readonly idleKillMs: number;
  /** Octets; Infinity: no limit. */
  readonly vszLimit: number;
  /** UV_THREADPOOL_SIZE; 0: leave it. */
  readonly threadPoolSize: number;
  /** 0: process_limit times client_limit. */
  readonly listenBacklog: number;
  readonly unixListeners: readonly UnixListener[];
  readonly inetListeners: readonly InetListener[];
  /** Named in `protocols`, or independent of them, and with a role to run. */
  readonly isEnabled: boolean;
  /** What the configuration sets, with its place: for messages. */
  readonly written: ReadonlyMap<string, Place>;
  readonly place: Place | undefined;
}

/** A block or stock entry with values still as text. */
interface Texts {
  readonly stock: SettingTexts;
  readonly written: ReadonlyMap<string, WrittenValue>;
}

interface Context {
  /** Text of the global tcp_keepalive, for listeners that set none. */
  readonly keepAlive: string;
  readonly general: SettingsOf<typeof generalSettings>;
  readonly ssl: string;
  readonly expand: (text: string) => string;
}

/** The general settings outside any filter. */
export function generalOf(config: ResolvedConfig): SettingsOf<typeof generalSettings> {
  return unpackSettings(packSettings(config, { name: 'master', protocol: '' }, [generalSettings])).get(generalSettings);
}

/** Text of a global setting outside any filter; the default when not set, undefined when there is no such setting. */
export function globalText(config: ResolvedConfig, key: string): string | undefined {
  return config.layers[0]?.values.get(key)?.text ?? config.definitions.get(key)?.defaultText;
}

/**
 * Every service in the order of their names, enabled or not. Only for a configuration whose values were found to be right;
 * what does not fit together is checked by checks.ts.
 */
export function serviceSettings(config: ResolvedConfig): readonly ServiceSettings[] {
  const context: Context = {
    general: generalOf(config),
    ssl: globalText(config, 'ssl') ?? 'yes',
    keepAlive: globalText(config, 'tcp_keepalive') ?? '120 s',
    expand: (text) => (text.startsWith('$') ? (globalText(config, text.slice(1)) ?? text) : text),
  };
  const blocks = (config.layers[0]?.blocks ?? []).filter(({ kind }) => kind === 'service');
  const stock = new Map(stockServices.map((service) => [service.name, service]));
  const names = [...new Set([...stock.keys(), ...blocks.map(({ name }) => name)])].filter((name) => name !== '').sort();
  return names.map((name) => {
    const block = blocks.find((candidate) => candidate.name === name);
    return buildService(name, stock.get(name), block, context);
  });
}

function reader(definitions: Readonly<Record<string, SettingDefinition>>, texts: Texts, expand: (text: string) => string) {
  const text = (key: string): string => texts.written.get(key)?.text ?? expand(texts.stock[key] ?? definitions[key]?.defaultText ?? '');
  const value = (key: string): unknown => {
    const definition = definitions[key];
    if (definition === undefined) throw new Error(`No setting ${key}`);
    // A wrong value was reported when it was read; the rest of the service is still worth looking at.
    const parsed = parseValue(definition, text(key));
    return parsed.kind === 'value' ? parsed.value : trustedValue(definition, definition.defaultText);
  };
  return { text, number: (key: string) => Number(value(key)), flag: (key: string) => value(key) === true };
}

function buildService(name: string, stock: StockService | undefined, block: ConfigBlock | undefined, context: Context): ServiceSettings {
  const { general, expand } = context;
  const written = block?.values ?? new Map<string, WrittenValue>();
  const read = reader(serviceBlockSettings.settings, { stock: stockValues(stock, written), written }, expand);
  const protocol = read.text('protocol');
  const executable = read.text('executable');
  const serviceCount = read.number('service_count');
  const writtenClientLimit = read.number('client_limit') || general.default_client_limit;
  const vszLimit = read.number('vsz_limit');
  const chroot = read.text('chroot');
  return {
    name,
    protocol,
    type: read.text('type'),
    role: executable.split(/\s+/)[0]?.split('/').pop() ?? '',
    executable,
    user: read.text('user'),
    group: read.text('group'),
    privilegedGroup: read.text('privileged_group'),
    extraGroups: read
      .text('extra_groups')
      .split(/[\s,]+/)
      .filter((group) => group !== ''),
    chroot: chroot === '' || isAbsolute(chroot) ? chroot : join(general.base_dir, chroot),
    dropPrivBeforeExec: read.flag('drop_priv_before_exec'),
    processMinAvail: read.number('process_min_avail'),
    processLimit: read.number('process_limit') || general.default_process_limit,
    clientLimit: Math.min(writtenClientLimit, serviceCount),
    writtenClientLimit,
    hasOwnClientLimit: read.number('client_limit') !== 0,
    serviceCount,
    idleKillMs: read.number('idle_kill') || general.default_idle_kill,
    // Infinity is Dovecot's mark for "not set"; a written 0 is no limit.
    vszLimit: vszLimit === Number.POSITIVE_INFINITY ? general.default_vsz_limit : vszLimit === 0 ? Number.POSITIVE_INFINITY : vszLimit,
    threadPoolSize: read.number('thread_pool_size'),
    listenBacklog: read.number('listen_backlog'),
    unixListeners: unixListeners(stock, block, context),
    inetListeners: inetListeners(stock, block, context),
    isEnabled: executable !== '' && (protocol === '' || protocol.split(' ').some((name) => general.protocols.includes(name))),
    written: new Map([...written].map(([key, { place }]) => [key, place])),
    place: block?.place,
  };
}

interface ListenerTexts extends Texts {
  readonly name: string;
  readonly place: Place | undefined;
}

/** Stock listeners with the block's of equal name laid over them, then the block's own. */
function listenerTexts(kind: StockListener['kind'], stock: StockService | undefined, block: ConfigBlock | undefined): ListenerTexts[] {
  const stocked = (stock?.listeners ?? []).filter((listener) => listener.kind === kind);
  const own = (block?.blocks ?? []).filter((inner) => inner.kind === kind);
  const merged = stocked.map(({ name, values }) => {
    const over = own.find((inner) => inner.name === name);
    return { name, stock: values, written: over?.values ?? new Map<string, WrittenValue>(), place: over?.place };
  });
  const added = own.filter(({ name }) => !stocked.some((listener) => listener.name === name));
  return [...merged, ...added.map(({ name, values, place }) => ({ name, stock: {}, written: values, place }))];
}

function unixListeners(stock: StockService | undefined, block: ConfigBlock | undefined, { general, expand }: Context): UnixListener[] {
  return listenerTexts('unix_listener', stock, block)
    .map((texts) => {
      const read = reader(unixListenerSettings.settings, texts, expand);
      const name = read.text('path') || texts.name;
      return {
        kind: 'unix' as const,
        name,
        path: isAbsolute(name) ? name : join(general.base_dir, name),
        mode: read.number('mode'),
        user: read.text('user'),
        group: read.text('group'),
        type: read.text('type'),
        place: texts.place,
      };
    })
    .filter(({ mode }) => mode !== 0);
}

function inetListeners(
  stock: StockService | undefined,
  block: ConfigBlock | undefined,
  { general, ssl, keepAlive, expand }: Context,
): InetListener[] {
  return listenerTexts('inet_listener', stock, block)
    .map((texts) => {
      const read = reader(inetListenerSettings.settings, { ...texts, stock: { tcp_keepalive: keepAlive, ...texts.stock } }, expand);
      const addresses = read
        .text('address')
        .split(/[\s,]+/)
        .filter((address) => address !== '');
      return {
        kind: 'inet' as const,
        name: texts.name,
        addresses: addresses.length > 0 ? addresses : general.listen,
        port: read.number('port'),
        isTls: read.flag('ssl'),
        haproxy: read.flag('haproxy'),
        reusePort: read.flag('reuse_port'),
        keepAliveMs: read.number('tcp_keepalive'),
        place: texts.place,
      };
    })
    .filter(({ port, isTls }) => port !== 0 && !(isTls && ssl === 'no'));
}
