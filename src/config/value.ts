// Text of one setting to its typed value, with Dovecot's units and messages.
import type { SettingDefinition } from './define.js';
import { didYouMean } from './suggest.js';

export type ParsedValue =
  | { readonly kind: 'value'; readonly value: unknown }
  | { readonly kind: 'bad'; readonly message: string; readonly suggestion?: string | undefined };

const good = (value: unknown): ParsedValue => ({ kind: 'value', value });
const bad = (message: string, suggestion?: string): ParsedValue => ({ kind: 'bad', message, suggestion });

/** Dovecot prints its largest unsigned integers for "never" and "not set". */
const neverSeconds = 4_294_967_295;

const timeUnits: readonly (readonly [name: string, milliseconds: number])[] = [
  ['seconds', 1000],
  ['secs', 1000],
  ['minutes', 60_000],
  ['mins', 60_000],
  ['hours', 3_600_000],
  ['days', 86_400_000],
  ['weeks', 604_800_000],
  ['milliseconds', 1],
  ['msecs', 1],
];

/** `2 mins` to 120000. A unit is any beginning of its name, so `m` is minutes; `ms` and `msecs` are milliseconds. */
export function parseTime(text: string): ParsedValue {
  const trimmed = text.trim().toLowerCase();
  if (trimmed === 'infinite' || trimmed === 'unlimited') return good(Number.POSITIVE_INFINITY);
  const [, digits, unit = ''] = /^(\d+)\s*(\S*)$/.exec(trimmed) ?? [];
  if (digits === undefined) return bad(`Invalid time interval: ${text}`, 'write a number and a unit, such as 30 secs');
  const amount = Number(digits);
  if (unit === '') {
    if (amount === 0) return good(0);
    return bad(`Time interval '${text}' is missing units (add e.g. 's' for seconds)`, `${text}s, ${text}m, ${text}h`);
  }
  const factor = unit === 'ms' ? 1 : timeUnits.find(([name]) => name.startsWith(unit))?.[1];
  if (factor === undefined) return bad(`Invalid time interval: ${text}`, 'units are msecs, secs, mins, hours, days, weeks');
  if (factor === 1000 && amount === neverSeconds) return good(Number.POSITIVE_INFINITY);
  return amount * factor > Number.MAX_SAFE_INTEGER ? bad(`Invalid time interval: ${text}`, 'it is too large') : good(amount * factor);
}

const sizePowers = 'bkmgtp';

/** `64 k` to 65536; `kb` and `ki` mean the same; no unit means octets. */
export function parseSize(text: string): ParsedValue {
  const [, digits, unit = 'b'] = /^(\d+)\s*([bkmgtp]?)(?:i?b?)$/i.exec(text.trim()) ?? [];
  if (digits === undefined) return bad(`Invalid size: ${text}`, 'write a number and one of B, K, M, G, T');
  const octets = Number(digits) * 1024 ** Math.max(0, sizePowers.indexOf(unit.toLowerCase() || 'b'));
  // 18446744073709551615 is how Dovecot prints a size that is not set.
  if (octets > 2 ** 63) return good(Number.POSITIVE_INFINITY);
  return octets > Number.MAX_SAFE_INTEGER ? bad(`Invalid size: ${text}`, 'it is too large') : good(octets);
}

function parseUint(text: string): ParsedValue {
  if (!/^\d+$/.test(text)) return bad(`Invalid number ${text}: not a whole number`, 'write digits only');
  const amount = Number(text);
  return Number.isSafeInteger(amount) ? good(amount) : bad(`Invalid number ${text}: too large`);
}

function parseBoolean(text: string): ParsedValue {
  const folded = text.toLowerCase();
  if (folded === 'yes' || folded === 'y' || folded === '1') return good(true);
  if (folded === 'no') return good(false);
  const meant = ['n', '0', 'false', 'off'].includes(folded) ? 'no' : ['true', 'on'].includes(folded) ? 'yes' : undefined;
  return bad(`Invalid boolean value: ${text} (use yes or no)`, meant === undefined ? undefined : `write ${meant}`);
}

function parseWith(definition: SettingDefinition, text: string): ParsedValue {
  switch (definition.type) {
    case 'string':
      return good(text);
    case 'boolean':
      return parseBoolean(text);
    case 'uint':
      return parseUint(text);
    case 'octal':
      if (!/^[0-7]+$/.test(text)) return bad(`Invalid number ${text}: not octal`, 'write an access mode such as 0660');
      return good(Number.parseInt(text, 8));
    case 'port': {
      const port = parseUint(text);
      return port.kind === 'value' && Number(port.value) <= 65535 ? port : bad(`Invalid port number ${text}`, 'ports are 0 to 65535');
    }
    case 'time':
      return parseTime(text);
    case 'size':
      return parseSize(text);
    case 'enum': {
      const choices = definition.choices ?? [];
      if (choices.includes(text)) return good(text);
      return bad(`Invalid value: ${text}`, didYouMean(text, choices) ?? `one of: ${choices.join(', ')}`);
    }
    case 'list':
      return good(Object.freeze(text.split(/[\s,]+/).filter((word) => word !== '')));
  }
}

/** The value of a setting's text. Numbers and sizes declared `unlimited` take `unlimited` and 0 as Infinity. */
export function parseValue(definition: SettingDefinition, text: string): ParsedValue {
  if (definition.unlimited === true && (definition.type === 'uint' || definition.type === 'size')) {
    if (text.toLowerCase() === 'unlimited') return good(Number.POSITIVE_INFINITY);
    const parsed = parseWith(definition, text);
    return parsed.kind === 'value' && parsed.value === 0 ? good(Number.POSITIVE_INFINITY) : parsed;
  }
  return parseWith(definition, text);
}

/** The value of a text known to be right: a declared default, or one that was checked when the configuration was read. */
export function trustedValue(definition: SettingDefinition, text: string): unknown {
  const parsed = parseValue(definition, text);
  if (parsed.kind === 'bad') throw new Error(`${parsed.message}: ${text}`);
  return parsed.value;
}
