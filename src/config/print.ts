// Settings as configuration text: `roost -n` and `-a`. What is printed parses back to the same settings.
import type { SettingDefinition } from './define.js';
import { dovecotSettings } from './dovecot-settings.js';
import { filterHeaders } from './filter.js';
import type { ConfigBlock, ConfigLayer, ResolvedConfig, WrittenValue } from './resolve.js';
import { sectionSchemas } from './section-schema.js';
import { globalText } from './service-settings.js';
import { type StockService, stockServices, stockValues } from './stock-services.js';

export interface PrintOptions {
  /** all: every setting; changed: what differs from the defaults; written: that and what is written without changing anything. */
  readonly mode: 'all' | 'changed' | 'written' | 'defaults';
  readonly showsSecrets: boolean;
  /** Print the contents of `<file` values. They cannot be read back when they have several lines. */
  readonly expandsFiles?: boolean;
}

/** A line `key = text`, or a block. */
export type PrintedItem =
  | { readonly kind: 'setting'; readonly key: string; readonly shown: string }
  | { readonly kind: 'block'; readonly key: string; readonly name: string; readonly items: readonly PrintedItem[] };

/** A value in the quotes it needs. */
export function formatValue(text: string): string {
  const oneLine = text.replace(/[\r\n]+/g, ' ');
  const isPlain = !/#|^["']|^\s|\s$|^<|\\$|(?:^|[ \t])\$[^ \t]/.test(oneLine);
  return isPlain ? oneLine : `"${oneLine.replace(/["\\]/g, '\\$&')}"`;
}

const hidden = '# hidden, use -P to show it';

function isSecret(key: string, definition: SettingDefinition | undefined): boolean {
  return definition?.secret === true || /^ssl_(key|dh|alt_key|client_key)$|_password$|_api_key$/.test(key);
}

function shownValue(
  key: string,
  value: WrittenValue | undefined,
  definition: SettingDefinition | undefined,
  options: PrintOptions,
): string {
  const text = value?.text ?? definition?.defaultText ?? '';
  const isEmpty = text === '' && value?.file === undefined;
  if (!options.showsSecrets && !isEmpty && isSecret(key, definition)) return hidden;
  if (value?.file !== undefined && options.expandsFiles !== true) return `<${value.file}`;
  return options.expandsFiles === true && text.includes('\n') ? text : formatValue(text);
}

/** Everything there is to print, sorted by name; blocks of a kind stay in file order where they have no names. */
export function printedItems(config: ResolvedConfig, options: PrintOptions): readonly PrintedItem[] {
  const [global, ...filtered] = config.layers;
  if (global === undefined) return [];
  const layers = options.mode === 'defaults' ? [] : filtered;
  const base: ConfigLayer = options.mode === 'defaults' ? { filter: {}, values: new Map(), blocks: [] } : global;
  const settings = settingItems(base.values, config.definitions, options);
  const blocks = base.blocks.filter(({ kind }) => kind !== 'service').map((block) => blockItem(block, options));
  const services = serviceItems(base, expandStock(config), options);
  const items = [...settings, ...blocks, ...services].filter((item) => !isIdle(item, options));
  return [...sortItems(items), ...layers.flatMap((layer) => filterItem(layer, config, options))];
}

/** Blocks that say nothing are left out, unless their being there means something. */
function isIdle(item: PrintedItem, { mode }: PrintOptions): boolean {
  return mode === 'changed' && item.kind === 'block' && item.items.length === 0 && ['service', 'plugin', 'dict'].includes(item.key);
}

function sortItems(items: readonly PrintedItem[]): PrintedItem[] {
  return [...items].sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
}

function settingItems(
  values: ReadonlyMap<string, WrittenValue>,
  definitions: ReadonlyMap<string, SettingDefinition>,
  options: PrintOptions,
  kept?: ReadonlySet<string>,
): PrintedItem[] {
  const showsAll = options.mode === 'all' || options.mode === 'defaults';
  const keys = showsAll ? new Set([...definitions.keys(), ...values.keys()]) : new Set(values.keys());
  const items: PrintedItem[] = [];
  for (const key of [...keys].sort()) {
    const value = values.get(key);
    const definition = definitions.get(key);
    const unchanged = definition?.defaultText ?? (Object.hasOwn(dovecotSettings, key) ? dovecotSettings[key] : undefined);
    if (options.mode === 'changed' && kept?.has(key) !== true && value?.file === undefined && value?.text === unchanged) continue;
    items.push({ kind: 'setting', key, shown: shownValue(key, value, definition, options) });
  }
  return items;
}

function blockItem(
  block: ConfigBlock,
  options: PrintOptions,
  stock: Readonly<Record<string, string>> = {},
  kept?: ReadonlySet<string>,
): PrintedItem {
  const schema = sectionSchemas.get(block.kind)?.settings;
  // The defaults of a stock block are its own.
  const definitions = new Map(
    Object.entries(schema ?? {}).map(([key, definition]) => [key, { ...definition, defaultText: stock[key] ?? definition.defaultText }]),
  );
  const items = settingItems(block.values, definitions, options, kept);
  const inner = block.blocks.map((child) => blockItem(child, options));
  return { kind: 'block', key: block.kind, name: block.name, items: [...items, ...sortItems(inner)] };
}

/** Stock services with `$default_internal_user` and the like replaced, as written ones are when they are read. */
function expandStock(config: ResolvedConfig): readonly StockService[] {
  const expand = (values: StockService['values']) =>
    Object.fromEntries(
      Object.entries(values).map(([key, text]) => [key, text.startsWith('$') ? (globalText(config, text.slice(1)) ?? text) : text]),
    );
  return stockServices.map((service) => ({
    ...service,
    values: expand(service.values),
    listeners: service.listeners.map((listener) => ({ ...listener, values: expand(listener.values) })),
  }));
}

function serviceItems(layer: ConfigLayer, services: readonly StockService[], options: PrintOptions): PrintedItem[] {
  const written = layer.blocks.filter(({ kind }) => kind === 'service');
  const showsAll = options.mode === 'all' || options.mode === 'defaults';
  const names = new Set(written.map(({ name }) => name));
  if (showsAll) for (const { name } of services) names.add(name);
  return [...names].sort().map((name) => {
    const stock = services.find((service) => service.name === name);
    const block = written.find((candidate) => candidate.name === name) ?? emptyBlock('service', name);
    return serviceItem(block, stock, options);
  });
}

function emptyBlock(kind: string, name: string): ConfigBlock {
  return { kind, name, values: new Map(), blocks: [], place: { file: '', line: 0 } };
}

/** They say something even at their defaults when they stand without process_limit (stockValues). */
const modeKeys: ReadonlySet<string> = new Set(['service_count', 'client_limit']);

function serviceItem(block: ConfigBlock, stock: StockService | undefined, options: PrintOptions): PrintedItem {
  const kept = block.values.has('process_limit') ? undefined : modeKeys;
  const own = blockItem({ ...block, blocks: [] }, options, stockValues(stock, block.values), kept);
  const showsAll = options.mode === 'all' || options.mode === 'defaults';
  const stocked = (stock?.listeners ?? [])
    .filter(({ kind, name }) => showsAll || block.blocks.some((inner) => inner.kind === kind && inner.name === name))
    .map(({ kind, name, values }) => {
      const over = block.blocks.find((inner) => inner.kind === kind && inner.name === name) ?? emptyBlock(kind, name);
      return blockItem(over, options, values);
    })
    .filter((item) => options.mode !== 'changed' || item.kind === 'setting' || item.items.length > 0);
  // A new listener is one even when it sets nothing; in a service that is never started it is nothing.
  const candidates = block.blocks.filter((inner) => stock !== undefined || inner.values.size > 0);
  const added = candidates.filter(
    ({ kind, name }) => stock?.listeners.some((other) => other.kind === kind && other.name === name) !== true,
  );
  const listeners = [...stocked, ...added.map((inner) => blockItem(inner, options))];
  const items = own.kind === 'block' ? own.items : [];
  return { kind: 'block', key: 'service', name: block.name, items: [...items, ...sortItems(listeners)] };
}

function filterItem(layer: ConfigLayer, config: ResolvedConfig, options: PrintOptions): PrintedItem[] {
  // A default written in a filter may well change something: what is outside it need not be the default.
  const inFilter: PrintOptions = { ...options, mode: 'written' };
  const settings = settingItems(layer.values, config.definitions, inFilter);
  const inside = [...settings, ...sortItems(layer.blocks.map((block) => blockItem(block, inFilter)))];
  if (inside.length === 0) return [];
  const item = filterHeaders(layer.filter).reduceRight<readonly PrintedItem[]>(
    (items, [key, name]) => [{ kind: 'block', key, name, items }],
    inside,
  );
  return [...item];
}

function formatName(name: string): string {
  return /^[^\s"'{#\\]+$/.test(name) ? name : `"${name.replace(/["\\]/g, '\\$&')}"`;
}

/** Lines with two blanks for each level. */
export function printItems(items: readonly PrintedItem[], indent = ''): string {
  let text = '';
  for (const item of items) {
    if (item.kind === 'setting') text += `${indent}${item.key} = ${item.shown}\n`;
    else {
      const header = item.name === '' ? item.key : `${item.key} ${formatName(item.name)}`;
      text += `${indent}${header} {\n${printItems(item.items, `${indent}  `)}${indent}}\n`;
    }
  }
  return text;
}

/**
 * One setting or the blocks of a kind, as `roost NAME` asks for: `base_dir`, `namespace`, `service/imap`, `service/imap/client_limit`.
 * Undefined when there is nothing of that name.
 */
export function findItems(items: readonly PrintedItem[], path: string): readonly PrintedItem[] | undefined {
  const [head = '', ...rest] = path.split('/');
  const found = items.filter(({ key }) => key === head);
  if (found.length === 0) return undefined;
  if (rest.length === 0) return found;
  const [name = '', ...deeper] = rest;
  const named = found.filter((item) => item.kind === 'block' && item.name === name);
  if (named.length === 0) return found.flatMap((item) => (item.kind === 'block' ? (findItems(item.items, rest.join('/')) ?? []) : []));
  if (deeper.length === 0) return named;
  return named.flatMap((item) => (item.kind === 'block' ? (findItems(item.items, deeper.join('/')) ?? []) : []));
}
