// Declaring settings: each part declares a group (key, type with unit, default, one line of doc); services/registry.ts collects them;
// docs/settings.md is generated from them. Keys are Dovecot's names.

export type SettingType = 'string' | 'boolean' | 'uint' | 'octal' | 'time' | 'size' | 'enum' | 'list' | 'port';

/** One setting. `time` is in ms, `size` in octets, `list` a string array, all after resolution. */
export interface SettingDefinition<Value = unknown> {
  readonly type: SettingType;
  /** As written in a configuration file. */
  readonly defaultText: string;
  readonly doc: string;
  /** For `enum`. */
  readonly choices?: readonly string[];
  /** Printed as `# hidden, use -P to show it`. */
  readonly secret?: boolean;
  /** Accepts `unlimited` (and `0` where it says so), giving Infinity. */
  readonly unlimited?: boolean;
  /** Phantom: the type after resolution. */
  readonly value?: Value;
}

export interface SettingsGroup<Shape extends Record<string, SettingDefinition> = Record<string, SettingDefinition>> {
  readonly name: string;
  readonly settings: Shape;
}

/** The resolved, frozen values of a group, under the same keys. */
export type SettingsOf<Group> =
  Group extends SettingsGroup<infer Shape>
    ? { readonly [Key in keyof Shape]: Shape[Key] extends SettingDefinition<infer Value> ? Value : never }
    : never;

export function defineSettings<const Shape extends Record<string, SettingDefinition>>(name: string, settings: Shape): SettingsGroup<Shape> {
  return { name, settings };
}

type Extra = Partial<Pick<SettingDefinition, 'secret' | 'unlimited'>>;

export const string = (defaultText: string, doc: string, extra: Extra = {}): SettingDefinition<string> => ({
  type: 'string',
  defaultText,
  doc,
  ...extra,
});
export const boolean = (defaultText: 'yes' | 'no', doc: string): SettingDefinition<boolean> => ({ type: 'boolean', defaultText, doc });
export const uint = (defaultText: string, doc: string, extra: Extra = {}): SettingDefinition<number> => ({
  type: 'uint',
  defaultText,
  doc,
  ...extra,
});
export const octal = (defaultText: string, doc: string): SettingDefinition<number> => ({ type: 'octal', defaultText, doc });
export const port = (defaultText: string, doc: string): SettingDefinition<number> => ({ type: 'port', defaultText, doc });
/** Milliseconds after resolution; Infinity for `infinite` or `unlimited`. */
export const time = (defaultText: string, doc: string, extra: Extra = {}): SettingDefinition<number> => ({
  type: 'time',
  defaultText,
  doc,
  ...extra,
});
/** Octets after resolution. */
export const size = (defaultText: string, doc: string, extra: Extra = {}): SettingDefinition<number> => ({
  type: 'size',
  defaultText,
  doc,
  ...extra,
});
/** Words separated by blanks or commas. */
export const list = (defaultText: string, doc: string): SettingDefinition<readonly string[]> => ({ type: 'list', defaultText, doc });
export const choice = <const Choice extends string>(
  choices: readonly Choice[],
  defaultText: Choice,
  doc: string,
): SettingDefinition<Choice> => ({
  type: 'enum',
  defaultText,
  doc,
  choices,
});
