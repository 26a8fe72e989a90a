// From the name a client sent to the name the databases see: default realm, allowed characters, translation, format.
import type { AuthState } from './request.js';

export interface UsernameRules {
  readonly defaultRealm: string;
  /** Allowed characters; '' allows every one. */
  readonly allowedChars: string;
  /** `from to from to`: each second character replaces the one before it. */
  readonly translation: string;
  /** Template with %variables: `%Lu`; '' leaves the name alone. */
  readonly format: string;
  /** Between user and master user; '' switches this form of master logins off. */
  readonly masterSeparator: string;
}

export type UsernameResult = { readonly kind: 'ok'; readonly user: string } | { readonly kind: 'refused'; readonly reason: string };

/** Longest name looked at; nothing longer can be a mailbox owner's name in a Maildir path. */
const maxUserLength = 512;

function findBadCharacter(name: string, allowed: string): string | undefined {
  for (const character of name) {
    const isAllowed = allowed === '' ? (character.codePointAt(0) ?? 0) >= 32 : allowed.includes(character);
    if (!isAllowed || character === '\u007f') return character;
  }
  return undefined;
}

/**
 * @param expand fills in a template for this state
 * @param state its `user` is overwritten while the format is expanded
 */
export function normalizeUsername(
  rules: UsernameRules,
  rawName: string,
  state: AuthState,
  expand: (template: string, state: AuthState) => string,
): UsernameResult {
  if (rawName === '') return { kind: 'refused', reason: 'Empty username' };
  if (rawName.length > maxUserLength) return { kind: 'refused', reason: `Username longer than ${maxUserLength} characters` };
  let name = !rawName.includes('@') && rules.defaultRealm !== '' ? `${rawName}@${rules.defaultRealm}` : rawName;
  const bad = findBadCharacter(name, rules.allowedChars);
  if (bad !== undefined) {
    const code = (bad.codePointAt(0) ?? 0).toString(16).padStart(2, '0');
    return { kind: 'refused', reason: `Username character disallowed by auth_username_chars: 0x${code} (username: ${printable(rawName)})` };
  }
  if (rules.translation !== '') name = translate(name, rules.translation);
  if (rules.format !== '') {
    state.user = name;
    name = expand(rules.format, state);
    if (name === '') return { kind: 'refused', reason: `auth_username_format expanded ${printable(rawName)} to an empty name` };
  }
  return { kind: 'ok', user: name };
}

function translate(name: string, rule: string): string {
  const map = new Map<string, string>();
  for (let index = 0; index + 1 < rule.length; index += 2) map.set(rule.charAt(index), rule.charAt(index + 1));
  return Array.from(name, (character) => map.get(character) ?? character).join('');
}

/** For log lines: control characters as `?`. */
export function printable(text: string): string {
  return text.slice(0, 256).replace(/[\u0000-\u001f\u007f-\u009f]/g, '?');
}

/** Takes `user*master` apart. Undefined when the separator is off or not in the name. */
export function splitMasterName(name: string, separator: string): { readonly user: string; readonly master: string } | undefined {
  if (separator === '') return undefined;
  const at = Array.from(separator).reduce<number>((found, character) => {
    const here = name.indexOf(character);
    return here < 0 || (found >= 0 && found < here) ? found : here;
  }, -1);
  return at < 0 ? undefined : { user: name.slice(0, at), master: name.slice(at + 1) };
}
