// Which header fields new cache records hold: those of common clients always, others from when a client asks for them until nobody has for a month.

/** Header field names in one list. */
const maxNames = 120;
/** Days after which a field that nobody has asked for is forgotten. */
const keptDays = 30;

export interface FieldLists {
  /** Lists of names by number; an empty one is not believed. */
  readonly cacheNames: ReadonlyMap<number, readonly string[]>;
  /** When a name was asked for last, in days since 1970; of learned names only. */
  readonly cacheNameDays: ReadonlyMap<string, number>;
}

export interface FieldList {
  readonly number: number;
  readonly names: readonly string[];
}

/** The list that new records should hold: the latest; number 0: there is none. */
export function currentList({ cacheNames }: FieldLists, firstNames: readonly string[]): FieldList {
  let current: FieldList = { number: 0, names: firstNames };
  for (const [number, names] of cacheNames) if (number > current.number && names.length > 0) current = { number, names };
  return current;
}

/**
 * The list for records that are about to be made.
 * @param wanted names that are asked for now
 * @returns a list with a number of its own where what is there does not do; undefined when there are too many names
 */
export function nextList(
  lists: FieldLists,
  { firstNames, wanted, today }: { readonly firstNames: readonly string[]; readonly wanted: readonly string[]; readonly today: number },
): FieldList | undefined {
  const { number, names } = currentList(lists, firstNames);
  const isKept = (name: string): boolean => {
    const day = lists.cacheNameDays.get(name);
    // Of one that has no day nothing is known; it gets one when it is met.
    return day === undefined || today - day <= keptDays || firstNames.includes(name) || wanted.includes(name);
  };
  const kept = names.filter(isKept);
  const missing = wanted.filter((name) => !kept.includes(name));
  if (missing.length === 0 && kept.length === names.length && number !== 0) return { number, names };
  if (kept.length + missing.length > maxNames) return undefined;
  return { number: Math.max(0, ...lists.cacheNames.keys()) + 1, names: [...kept, ...missing] };
}
