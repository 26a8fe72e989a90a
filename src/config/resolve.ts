// Tree to settings: which names exist, which values are right, which block adds to which. Nothing is thrown; all problems are collected.
import type { SettingDefinition, SettingsGroup } from './define.js';
import { dovecotSettings } from './dovecot-settings.js';
import { compareSpecificity, type Filter, isFilterKind, isUnfiltered, nestFilter, sameFilter } from './filter.js';
import { modernise, moderniseSection, unfoldPath } from './obsolete.js';
import { type ConfigNode, mergesByIdentity, type ParsedConfig, type SectionNode, type SettingNode } from './parser.js';
import { type ConfigProblem, type Place, type ProblemList, placeText } from './problem.js';
import { idleSectionKinds, type SectionSchema, sectionSchemas } from './section-schema.js';
import { didYouMean } from './suggest.js';
import { parseValue } from './value.js';

/** A setting as written. */
export interface WrittenValue {
  readonly text: string;
  /** Absolute path, when the text is a file's contents. */
  readonly file?: string | undefined;
  readonly place: Place;
}

/** A block after merging those of equal name. */
export interface ConfigBlock {
  readonly kind: string;
  /** '' when unnamed. */
  readonly name: string;
  readonly values: Map<string, WrittenValue>;
  readonly blocks: ConfigBlock[];
  readonly place: Place;
}

/** What is set under one filter. */
export interface ConfigLayer {
  readonly filter: Filter;
  readonly values: Map<string, WrittenValue>;
  readonly blocks: ConfigBlock[];
}

export interface ResolvedConfig {
  readonly path: string;
  /** The first one has no filter; the others follow, least specific first, so that a later match wins. */
  readonly layers: readonly ConfigLayer[];
  /** Definition of every known global setting. */
  readonly definitions: ReadonlyMap<string, SettingDefinition>;
  /** Known settings that do nothing, each as `name (file:line)`; checks.ts names them in one warning. */
  readonly withoutEffect: readonly string[];
  readonly problems: readonly ConfigProblem[];
}

/** Every global setting of the groups. Two groups may declare the same key if they mean the same. */
export function definitionsOf(groups: readonly SettingsGroup[]): Map<string, SettingDefinition> {
  const definitions = new Map<string, SettingDefinition>();
  for (const group of groups) {
    for (const [key, definition] of Object.entries(group.settings)) {
      const other = definitions.get(key);
      if (other !== undefined && (other.type !== definition.type || other.defaultText !== definition.defaultText)) {
        throw new Error(`Setting ${key} is declared twice and differently, the second time in group ${group.name}`);
      }
      if (other === undefined) definitions.set(key, definition);
    }
  }
  return definitions;
}

/**
 * Interprets a parsed configuration.
 * @param problems the list the parser wrote to; what is found here is added
 */
export function resolveConfig(parsed: ParsedConfig, groups: readonly SettingsGroup[], problems: ProblemList): ResolvedConfig {
  const resolver = new Resolver(definitionsOf(groups), problems);
  resolver.readNodes(parsed.nodes, {});
  const [global, ...filtered] = resolver.layers;
  if (global === undefined) throw new Error('The layer without filter is always there');
  const layers = [global, ...filtered.sort((a, b) => compareSpecificity(a.filter, b.filter))];
  return { path: parsed.path, layers, definitions: resolver.definitions, withoutEffect: resolver.withoutEffect, problems: problems.all };
}

class Resolver {
  readonly definitions: ReadonlyMap<string, SettingDefinition>;
  readonly layers: ConfigLayer[] = [{ filter: {}, values: new Map(), blocks: [] }];
  readonly #problems: ProblemList;
  readonly withoutEffect: string[] = [];

  constructor(definitions: ReadonlyMap<string, SettingDefinition>, problems: ProblemList) {
    this.definitions = definitions;
    this.#problems = problems;
  }

  readNodes(nodes: readonly ConfigNode[], filter: Filter): void {
    for (const written of nodes) {
      const node = written.kind === 'setting' && !this.definitions.has(written.key) ? unfoldPath(written) : written;
      if (node.kind === 'setting') this.#readGlobal(node, filter);
      else if (isFilterKind(node.type)) this.#readFilter(moderniseSection(node, this.#problems), filter);
      else this.#readTopLevelBlock(moderniseSection(node, this.#problems), filter);
    }
  }

  #layer(filter: Filter): ConfigLayer {
    const known = this.layers.find((layer) => sameFilter(layer.filter, filter));
    if (known !== undefined) return known;
    const fresh: ConfigLayer = { filter, values: new Map(), blocks: [] };
    this.layers.push(fresh);
    return fresh;
  }

  #readFilter(node: SectionNode, outer: Filter): void {
    if (!isFilterKind(node.type)) return;
    const filter = nestFilter(outer, node.type, node.name, node.place, this.#problems);
    if (filter === undefined) {
      // The inside is still checked, for its own problems, without taking effect.
      const probe = new Resolver(this.definitions, this.#problems);
      probe.readNodes(node.children, outer);
      this.withoutEffect.push(...probe.withoutEffect);
      return;
    }
    this.#layer(filter);
    this.readNodes(node.children, filter);
  }

  #readGlobal(written: SettingNode, filter: Filter): void {
    const node = modernise(written, '', this.#problems);
    if (node === undefined) return;
    const { key, text, place } = node;
    if (/^auth_/.test(key) && (filter.local !== undefined || filter.remote !== undefined)) {
      this.#problems.error(place, `Auth settings not supported inside local/remote blocks: ${key}`);
      return;
    }
    const definition = this.definitions.get(key);
    if (definition === undefined) {
      const known = Object.hasOwn(dovecotSettings, key) ? dovecotSettings[key] : undefined;
      if (known === undefined) {
        const names = [...this.definitions.keys(), ...Object.keys(dovecotSettings)];
        this.#problems.error(place, `Unknown setting: ${key}`, this.#explainUnknown(key, names));
        return;
      }
      // Kept for printing: whoever looks at the whole configuration wants to see it.
      this.#layer(filter).values.set(key, { text, file: node.file, place });
      if (known !== text) this.withoutEffect.push(`${key} (${placeText(place)})`);
      return;
    }
    this.#check(definition, key, node);
    if (isUnfiltered(filter)) this.#warnAboutEarlierFilter(key, place);
    this.#layer(filter).values.set(key, { text, file: node.file, place });
  }

  #explainUnknown(key: string, names: readonly string[]): string | undefined {
    if (/^dovecot_(config|storage)_version$/.test(key)) return 'this is the dialect of Dovecot 2.4, Roost reads that of 2.3';
    const similar = didYouMean(key, names);
    if (similar !== undefined) return similar;
    for (const schema of sectionSchemas.values()) {
      if (schema.settings !== undefined && Object.hasOwn(schema.settings, key)) return `${key} belongs into a ${schema.kind} { } block`;
    }
    return undefined;
  }

  #warnAboutEarlierFilter(key: string, place: Place): void {
    for (const layer of this.layers.slice(1)) {
      const earlier = layer.values.get(key)?.place;
      if (earlier === undefined) continue;
      const where = `${earlier.file} line ${earlier.line}`;
      this.#problems.warning(
        place,
        `Global setting ${key} won't change the setting inside an earlier filter at ${where} ` +
          `(if this is intentional, avoid this warning by moving the global setting before ${where})`,
      );
      return;
    }
  }

  #check(definition: SettingDefinition, key: string, node: SettingNode): void {
    const parsed = parseValue(definition, node.text);
    if (parsed.kind === 'bad') this.#problems.error(node.place, `${key}: ${parsed.message}`, parsed.suggestion);
  }

  #readTopLevelBlock(node: SectionNode, filter: Filter): void {
    const schema = sectionSchemas.get(node.type);
    if (schema?.isTopLevel !== true) {
      this.#reportUnknownSection(node, '');
      return;
    }
    if ((node.type === 'passdb' || node.type === 'userdb') && (filter.local !== undefined || filter.remote !== undefined)) {
      this.#problems.error(node.place, `Auth settings not supported inside local/remote blocks: ${node.type}`);
      return;
    }
    if (node.type === 'service' && !isUnfiltered(filter)) {
      this.#problems.warning(node.place, `service ${node.name} { } inside a filter has no effect`, 'move it out of the block around it');
    }
    if (idleSectionKinds.has(node.type) && node.children.length > 0) {
      this.withoutEffect.push(`${describeBlock(node)} { } (${placeText(node.place)})`);
    }
    this.#readBlock(node, schema, this.#layer(filter).blocks, node.type);
  }

  #reportUnknownSection(node: SectionNode, path: string): void {
    const isKnown = sectionSchemas.has(node.type);
    const full = path === '' ? `${node.type} { ${node.name || node.type}` : `${path} { ${node.type} { ${node.name || node.type}`;
    if (isKnown) {
      const homes = [...sectionSchemas.values()].filter(({ sections }) => sections.includes(node.type)).map(({ kind }) => `${kind} { }`);
      const home = homes.length > 0 ? `it belongs into ${homes.join(' or ')}` : 'it belongs to the top level';
      this.#problems.error(node.place, `Section not allowed here: ${node.type}`, home);
    } else {
      const names = [...sectionSchemas.keys(), 'protocol', 'local', 'local_name', 'remote'];
      this.#problems.error(node.place, `Unknown setting: ${full}`, didYouMean(node.type, names));
    }
  }

  #readBlock(node: SectionNode, schema: SectionSchema, into: ConfigBlock[], path: string): void {
    if (schema.needsName === true && node.name === '')
      this.#problems.error(node.place, `${node.type} section is missing name`, `write ${node.type} NAME {`);
    const merged = mergesByIdentity(node.type, node.name)
      ? into.find(({ kind, name }) => kind === node.type && name === node.name)
      : undefined;
    const block = merged ?? { kind: node.type, name: node.name, values: new Map(), blocks: [], place: node.place };
    if (merged === undefined) into.push(block);
    for (const child of node.children) {
      if (child.kind === 'setting') this.#readBlockSetting(child, schema, block, path);
      else {
        const inner = schema.sections.includes(child.type) ? sectionSchemas.get(child.type) : undefined;
        if (inner === undefined) this.#reportUnknownSection(child, path);
        else this.#readBlock(child, inner, block.blocks, `${path} { ${child.type}`);
      }
    }
  }

  #readBlockSetting(written: SettingNode, schema: SectionSchema, block: ConfigBlock, path: string): void {
    const node = modernise(written, schema.kind, this.#problems) ?? written;
    const { key, text, file, place } = node;
    if (schema.settings !== undefined) {
      const definition = Object.hasOwn(schema.settings, key) ? schema.settings[key] : undefined;
      if (definition === undefined) {
        this.#problems.error(place, `Unknown setting: ${path} { ${key}`, this.#explainUnknownInBlock(key, schema));
        return;
      }
      this.#check(definition, key, node);
    }
    block.values.set(key, { text, file, place });
  }

  #explainUnknownInBlock(key: string, schema: SectionSchema): string | undefined {
    const similar = didYouMean(key, Object.keys(schema.settings ?? {}));
    if (similar !== undefined) return similar;
    const isGlobal = this.definitions.has(key) || Object.hasOwn(dovecotSettings, key);
    return isGlobal
      ? `${key} is a setting of the top level`
      : `a ${schema.kind} block takes: ${Object.keys(schema.settings ?? {}).join(', ')}`;
  }
}

function describeBlock({ type, name }: { readonly type: string; readonly name: string }): string {
  return name === '' ? type : `${type} ${name}`;
}
