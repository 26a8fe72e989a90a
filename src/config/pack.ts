// Settings on their way to a child process. Texts travel, not values: JSON has no Infinity, a default needs no space, and the child has the
// declarations anyway. Only the groups and block kinds a role declares are included, so that a login process never holds a passdb's secrets.
import type { SettingsGroup, SettingsOf } from './define.js';
import { compareSpecificity, compileFilter, type Filter, hasConnectionFilter, protocolMatches } from './filter.js';
import { mergesByIdentity } from './parser.js';
import { placeText } from './problem.js';
import type { ConfigBlock, ConfigLayer, ResolvedConfig, WrittenValue } from './resolve.js';
import type { ConnectionFacts, Section, SettingsSource } from './settings-source.js';
import { trustedValue } from './value.js';

interface PackedLayer {
  readonly filter: Filter;
  readonly values: Readonly<Record<string, string>>;
  readonly sections: readonly Section[];
}

/** Plain JSON. The first layer always applies, a later one wins over those before it. */
export interface PackedSettings {
  readonly version: 1;
  readonly groups: readonly string[];
  readonly kinds: readonly string[];
  readonly layers: readonly PackedLayer[];
}

/** Who the settings are for. */
export interface PackTarget {
  /** Name of the service; the protocol when it has none. */
  readonly name: string;
  /** The service's `protocol` setting: `imap` for imap-login too. */
  readonly protocol: string;
}

function toTexts(values: ReadonlyMap<string, WrittenValue>, keys?: ReadonlySet<string>): Record<string, string> {
  const wanted = [...values].filter(([key]) => keys === undefined || keys.has(key));
  return Object.fromEntries(wanted.map(([key, { text }]) => [key, text]));
}

function toSection(block: ConfigBlock): Section {
  return {
    kind: block.kind,
    name: block.name,
    values: toTexts(block.values),
    sections: block.blocks.map(toSection),
    where: placeText(block.place),
  };
}

function packLayer(layer: ConfigLayer, keys: ReadonlySet<string>, kinds: ReadonlySet<string>): PackedLayer {
  const sections = layer.blocks.filter(({ kind }) => kinds.has(kind)).map(toSection);
  return { filter: layer.filter, values: toTexts(layer.values, keys), sections };
}

/**
 * What a process of a service is to receive. `protocol` blocks of other protocols are left out, and those of its own become unconditional;
 * a process of the service `auth` serves all protocols and gets them as conditions (`forConnection({ protocol })`).
 * @param sectionKinds `passdb`, `namespace`, ...; `plugin` for `plugin()`
 * @param withSecrets false leaves out what is declared secret (private keys)
 */
export function packSettings(
  config: ResolvedConfig,
  target: PackTarget,
  groups: readonly SettingsGroup[],
  sectionKinds: readonly string[] = [],
  { withSecrets }: { readonly withSecrets: boolean } = { withSecrets: true },
): PackedSettings {
  const definitions = groups.flatMap((group) => Object.entries(group.settings));
  const keys = new Set(definitions.filter(([, { secret }]) => withSecrets || secret !== true).map(([key]) => key));
  const kinds = new Set(sectionKinds);
  const servesAll = target.name === 'auth' || target.name === 'auth-worker';
  const protocol = target.protocol === '' ? target.name : target.protocol;
  const layers: PackedLayer[] = [];
  for (const layer of config.layers) {
    if (!servesAll && !protocolMatches(layer.filter, protocol)) continue;
    const packed = packLayer(layer, keys, kinds);
    const isEmpty = Object.keys(packed.values).length === 0 && packed.sections.length === 0;
    if (isEmpty && layers.length > 0) continue;
    const { protocol: _, ...connectionFilter } = layer.filter;
    layers.push(servesAll ? packed : { ...packed, filter: connectionFilter });
  }
  return { version: 1, groups: groups.map(({ name }) => name), kinds: [...kinds], layers };
}

/** The settings of a process from what the master packed; `json` may have passed through JSON. */
export function unpackSettings(json: PackedSettings): SettingsSource {
  if (json.version !== 1) throw new Error(`Settings of version ${String(json.version)} cannot be read`);
  return new LayeredSettings(json, compileLayers(json.layers));
}

interface Condition {
  readonly layer: PackedLayer;
  readonly matches: ((facts: ConnectionFacts) => boolean) | undefined;
}

function compileLayers(layers: readonly PackedLayer[]): readonly Condition[] {
  const ordered = [...layers].sort((a, b) => compareSpecificity(a.filter, b.filter));
  return ordered.map((layer) => ({
    layer,
    matches: hasConnectionFilter(layer.filter) || layer.filter.protocol !== undefined ? compileFilter(layer.filter) : undefined,
  }));
}

/** Distinct combinations of matching blocks kept; beyond that a connection's view is made anew each time. */
const maxCachedViews = 256;

class LayeredSettings implements SettingsSource {
  readonly #packed: PackedSettings;
  readonly #conditions: readonly Condition[];
  readonly #active: readonly PackedLayer[];
  readonly #isConditional: boolean;
  readonly #values = new Map<string, unknown>();
  readonly #sections = new Map<string, readonly Section[]>();
  readonly #views: Map<string, LayeredSettings>;

  constructor(packed: PackedSettings, conditions: readonly Condition[], facts?: ConnectionFacts, views?: Map<string, LayeredSettings>) {
    this.#packed = packed;
    this.#conditions = conditions;
    this.#isConditional = conditions.some(({ matches }) => matches !== undefined);
    this.#active = conditions
      .filter(({ matches }) => matches === undefined || (facts !== undefined && matches(facts)))
      .map(({ layer }) => layer);
    this.#views = views ?? new Map();
  }

  get<Group extends SettingsGroup>(group: Group): SettingsOf<Group> {
    const known = this.#values.get(group.name);
    // The cache holds, for each name, what was built below from the group of that name.
    if (known !== undefined) return known as SettingsOf<Group>;
    if (!this.#packed.groups.includes(group.name)) throw new Error(`Settings group ${group.name} was not declared by this role`);
    const values = Object.fromEntries(
      Object.entries(group.settings).map(([key, definition]) => [key, trustedValue(definition, this.#text(key) ?? definition.defaultText)]),
    );
    const resolved = Object.freeze(values) as SettingsOf<Group>;
    this.#values.set(group.name, resolved);
    return resolved;
  }

  forConnection(facts: ConnectionFacts): SettingsSource {
    if (!this.#isConditional) return this;
    const key = this.#conditions.map(({ matches }) => (matches === undefined || matches(facts) ? '1' : '0')).join('');
    const known = this.#views.get(key);
    if (known !== undefined) return known;
    const view = new LayeredSettings(this.#packed, this.#conditions, facts, this.#views);
    if (this.#views.size < maxCachedViews) this.#views.set(key, view);
    return view;
  }

  get hasLocalNames(): boolean {
    return this.#conditions.some(({ layer }) => layer.filter.localName !== undefined);
  }

  sections(kind: string): readonly Section[] {
    const known = this.#sections.get(kind);
    if (known !== undefined) return known;
    if (!this.#packed.kinds.includes(kind)) throw new Error(`Blocks of kind ${kind} were not declared by this role`);
    const merged: Section[] = [];
    for (const section of this.#active.flatMap((layer) => layer.sections)) if (section.kind === kind) mergeInto(merged, section);
    this.#sections.set(kind, merged);
    return merged;
  }

  plugin(key: string): string | undefined {
    const [values] = this.sections('plugin');
    return values !== undefined && Object.hasOwn(values.values, key) ? values.values[key] : undefined;
  }

  #text(key: string): string | undefined {
    for (let index = this.#active.length - 1; index >= 0; index -= 1) {
      const values = this.#active[index]?.values;
      if (values !== undefined && Object.hasOwn(values, key)) return values[key];
    }
    return undefined;
  }
}

/** A block in a filter adds to the block of equal name outside it. */
function mergeInto(merged: Section[], section: Section): void {
  const at = mergesByIdentity(section.kind, section.name)
    ? merged.findIndex(({ kind, name }) => kind === section.kind && name === section.name)
    : -1;
  const earlier = merged[at];
  if (earlier === undefined) {
    merged.push(section);
    return;
  }
  const inner = [...earlier.sections];
  for (const child of section.sections) mergeInto(inner, child);
  merged[at] = { ...earlier, values: { ...earlier.values, ...section.values }, sections: inner };
}
