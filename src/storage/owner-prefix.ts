// The prefix of a namespace that holds other users' mailboxes: `shared/%%u/`, `shared/%%d/%%n/`. What is doubled is about the owner.
import { StorageError } from './errors.js';

type Part = { readonly kind: 'text'; readonly text: string } | { readonly kind: 'variable'; readonly name: 'u' | 'n' | 'd' };

export interface OwnedName {
  readonly owner: string;
  /** Of the owner's mailboxes, with the separator. */
  readonly prefix: string;
  /** What follows; empty for the prefix itself. */
  readonly rest: string;
}

export class OwnerPrefix {
  /** What is before the owner, with the separator: what NAMESPACE tells. */
  readonly root: string;
  readonly #parts: readonly Part[];
  readonly #pattern: RegExp;
  readonly #separator: string;

  /**
   * @param template variables of the accessing user replaced, those of the owner with one `%`
   * @throws StorageError `unavailable` when it does not name the owner, or not as one level or two
   */
  constructor(template: string, separator: string) {
    this.#parts = partsOf(template);
    this.#separator = separator;
    const variables = this.#parts.flatMap((part) => (part.kind === 'variable' ? [part.name] : []));
    const isNaming = ['u', 'n', 'd,n', 'n,d'].includes(variables.join());
    const [first, last] = [this.#parts[0], this.#parts.at(-1)];
    if (!isNaming || first?.kind !== 'text' || !first.text.endsWith(separator) || last?.kind !== 'text' || last.text !== separator) {
      throw new StorageError(
        'unavailable',
        `namespace configuration error: prefix of a shared namespace must be like shared${separator}%%u${separator} (or %%n, or %%d and %%n): ${template}`,
      );
    }
    this.root = first.text;
    this.#pattern = new RegExp(`^${this.#parts.map((part, index) => this.#patternOf(part, index)).join('')}$`, 's');
  }

  /**
   * @param asker the accessing user: of whose domain owners are where the prefix has only `%%n`
   * @returns undefined for names that do not go as far as the owner
   */
  match(name: string, asker: string): OwnedName | undefined {
    const { groups } = this.#pattern.exec(name) ?? {};
    if (groups === undefined) return undefined;
    const { u, n, d = domainOf(asker), rest = '' } = groups;
    const owner = u ?? (d === undefined ? n : `${n}@${d}`);
    const prefix = owner === undefined ? undefined : this.prefixOf(owner, asker);
    return owner === undefined || prefix === undefined ? undefined : { owner, prefix, rest };
  }

  /** @returns undefined for an owner who has no name here */
  prefixOf(owner: string, asker: string): string | undefined {
    const domain = domainOf(owner);
    const local = domain === undefined ? owner : owner.slice(0, owner.indexOf('@'));
    let hasDomain = false;
    let text = '';
    for (const part of this.#parts) {
      const value = part.kind === 'text' ? part.text : part.name === 'u' ? owner : part.name === 'n' ? local : domain;
      if (value === undefined || (part.kind === 'variable' && value.includes(this.#separator))) return undefined;
      if (part.kind === 'variable' && part.name !== 'n') hasDomain = true;
      text += value;
    }
    return hasDomain || domain === domainOf(asker) ? text : undefined;
  }

  #patternOf(part: Part, index: number): string {
    if (part.kind === 'variable') {
      const next = this.#parts[index + 1];
      return `(?<${part.name}>[^${escapeRegExp(this.#separator + (next?.kind === 'text' ? next.text.charAt(0) : ''))}]+)`;
    }
    // The name may end before the last separator.
    return index === this.#parts.length - 1 ? `(?:${escapeRegExp(this.#separator)}(?<rest>.*))?` : escapeRegExp(part.text);
  }
}

function partsOf(template: string): Part[] {
  return template.split(/(%.?)/s).flatMap((piece): Part[] => {
    if (piece === '') return [];
    if (!piece.startsWith('%')) return [{ kind: 'text', text: piece }];
    const name = piece.slice(1);
    if (name === 'u' || name === 'n' || name === 'd') return [{ kind: 'variable', name }];
    throw new StorageError(
      'unavailable',
      `namespace configuration error: prefix of a shared namespace may have %%u, %%n and %%d, not ${piece}`,
    );
  });
}

function domainOf(user: string): string | undefined {
  const at = user.indexOf('@');
  return at === -1 ? undefined : user.slice(at + 1);
}

const escapeRegExp = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
