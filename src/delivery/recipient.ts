// From an envelope address to the user whose mailbox takes the message.
import type { AuthMasterClient, UserFields } from '#auth/client.js';

export interface AddressParts {
  readonly localPart: string;
  /** Lower-case, '' when absent. */
  readonly domain: string;
}

export type RecipientLookup =
  | { readonly kind: 'found'; readonly user: UserFields; readonly detail: string }
  | { readonly kind: 'unknown'; readonly isLocalDomain: boolean }
  | { readonly kind: 'temp-fail'; readonly reason: string };

export interface RecipientRules {
  readonly recipientDelimiter: string;
  readonly localDomains: ReadonlySet<string>;
}

/** `user+detail` apart; a delimiter in the first place is part of the name. */
export function splitDetail(localPart: string, delimiters: string): { readonly name: string; readonly detail: string } {
  let at = -1;
  for (const delimiter of delimiters) {
    const found = localPart.indexOf(delimiter, 1);
    if (found > 0 && (at < 0 || found < at)) at = found;
  }
  return at < 0 ? { name: localPart, detail: '' } : { name: localPart.slice(0, at), detail: localPart.slice(at + 1) };
}

/**
 * User names an address may stand for, in the order to ask for them: the whole address, without its detail, and for local domains the name
 * alone.
 */
export function candidateNames(
  address: AddressParts,
  rules: RecipientRules,
): readonly { readonly name: string; readonly detail: string }[] {
  const { name, detail } = splitDetail(address.localPart, rules.recipientDelimiter);
  const found: { name: string; detail: string }[] = [];
  const add = (candidate: string, candidateDetail: string): void => {
    if (!found.some((other) => other.name === candidate)) found.push({ name: candidate, detail: candidateDetail });
  };
  if (address.domain !== '') {
    add(`${address.localPart}@${address.domain}`, '');
    add(`${name}@${address.domain}`, detail);
  }
  if (address.domain === '' || rules.localDomains.has(address.domain)) {
    add(address.localPart, '');
    add(name, detail);
  }
  return found;
}

/** Asks auth for each candidate until one is known. */
export async function findRecipient(
  auth: AuthMasterClient,
  address: AddressParts,
  rules: RecipientRules,
  service: string,
  signal: AbortSignal,
): Promise<RecipientLookup> {
  for (const { name, detail } of candidateNames(address, rules)) {
    const result = await auth.lookup(name, service, signal);
    if (result.kind === 'found') return { kind: 'found', user: result.user, detail };
    if (result.kind === 'temp_fail') return { kind: 'temp-fail', reason: result.reason };
  }
  return { kind: 'unknown', isLocalDomain: address.domain === '' || rules.localDomains.has(address.domain) };
}
