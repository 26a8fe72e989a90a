// Which messages a command is about: those the client can name without doubt.
import type { ClientView, KnownMessage } from './view.js';

export interface Chosen {
  /** Of the command's name: `UID ` or nothing. */
  readonly uid: 'UID ' | '';
  readonly set: string;
  /** In the order of the set. */
  readonly messages: readonly KnownMessage[];
}

export interface ChoiceOptions {
  readonly random: (below: number) => number;
  /** Never by sequence number. */
  readonly usesUids: boolean;
  /** What the command does has to be accounted for: only messages whose UIDs the client knows; there has to be one. */
  readonly onlyKnown: boolean;
}

/** A random set in one of the two numberings. The mailbox is not empty. */
export function chooseMessages({ messages }: ClientView, { random, usesUids, onlyKnown }: ChoiceOptions): Chosen {
  const known = messages.filter(({ uid }) => uid > 0);
  if (known.length > 0 && (usesUids || random(2) === 0)) {
    const first = known[random(known.length)]?.uid ?? 0;
    const last = first + random(6);
    // The client may not have been told all UIDs of the range: name those it knows.
    const named = known.filter(({ uid }) => uid >= first && uid <= last);
    return { uid: 'UID ', set: named.map(({ uid }) => uid).join(','), messages: named };
  }
  if (usesUids) return { uid: 'UID ', set: '1:*', messages };
  const length = 1 + random(random(12) === 0 ? 60 : 5);
  // Those without UID are the latest, or the earliest where a limited session (RFC 9738) has not come to them.
  const isKnownOnly = known.length > 0 && (onlyKnown || random(4) > 0);
  const start = isKnownOnly ? messages.indexOf(known[random(known.length)] as KnownMessage) : random(messages.length);
  let end = start + 1;
  while (end < messages.length && end < start + length && (!isKnownOnly || (messages[end]?.uid ?? 0) > 0)) end += 1;
  return { uid: '', set: `${start + 1}:${end}`, messages: messages.slice(start, end) };
}
