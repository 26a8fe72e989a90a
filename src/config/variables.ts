// `$name` in values: replaced while reading, by the value the setting has so far in this block or one around it.

/** What a setting's text is, and the `<file` it came from, if any. */
export interface ScopedValue {
  readonly text: string;
  readonly file?: string | undefined;
}

/** Values seen so far in one block. Blocks that merge share one scope. */
export class Scope {
  readonly #values = new Map<string, ScopedValue>();
  readonly #named = new Map<string, Scope>();
  readonly #parent: Scope | undefined;

  constructor(parent?: Scope) {
    this.#parent = parent;
  }

  set(key: string, value: ScopedValue): void {
    this.#values.set(key, value);
  }

  find(key: string): ScopedValue | undefined {
    return this.#values.get(key) ?? this.#parent?.find(key);
  }

  /** The scope of a block inside this one; the same object again for the same `identity`, a new one without. */
  child(identity: string | undefined): Scope {
    if (identity === undefined) return new Scope(this);
    const known = this.#named.get(identity);
    if (known !== undefined) return known;
    const fresh = new Scope(this);
    this.#named.set(identity, fresh);
    return fresh;
  }
}

export interface VariableSources {
  readonly scope: Scope;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** The declared default, as configuration text. */
  findDefault(key: string): string | undefined;
}

export interface Replacement extends ScopedValue {
  /** `$nope`, in order. */
  readonly unknown: readonly string[];
}

/** Only a whole word between blanks is a variable; a value with one has its runs of blanks joined. */
export function replaceVariables(text: string, sources: VariableSources): Replacement {
  const words = text.split(/[ \t]+/);
  if (!words.some((word) => word.startsWith('$') && word.length > 1)) return { text, unknown: [] };
  const unknown: string[] = [];
  let file: string | undefined;
  const replaced = words.map((word) => {
    if (!word.startsWith('$') || word.length === 1) return word;
    const name = word.slice(1);
    if (name.startsWith('ENV:')) return sources.environment[name.slice(4)] ?? '';
    const value = sources.scope.find(name) ?? asValue(sources.findDefault(name));
    if (value === undefined) {
      unknown.push(word);
      return '';
    }
    if (words.length === 1) file = value.file;
    return value.text;
  });
  return { text: replaced.join(' '), file, unknown };
}

function asValue(text: string | undefined): ScopedValue | undefined {
  return text === undefined ? undefined : { text };
}
