// What a child says on its control channel, checked.
import type { ChildMessage } from '#ipc/control.js';
import { type CountName, type Counts, isCountName } from '#ipc/counts.js';

/**
 * Children may be taken over by their clients, so their words are checked like any input.
 * @returns undefined for a kind that is not known
 * @throws TypeError when a known kind has wrong fields
 */
export function parseMessage(value: unknown): ChildMessage | undefined {
  const fields = record(value);
  switch (fields['kind']) {
    case 'needs':
      return { kind: 'needs', settings: texts(fields['settings']), sections: texts(fields['sections']) };
    case 'status': {
      const oldest = fields['oldestPreAuthAtMs'];
      return {
        kind: 'status',
        clients: count(fields['clients']),
        served: count(fields['served']),
        isDraining: fields['isDraining'] === true,
        arrived: counts(fields['arrived']),
        left: counts(fields['left']),
        ...(fields['refused'] === undefined ? {} : { refused: count(fields['refused']) }),
        ...(fields['counts'] === undefined ? {} : { counts: namedCounts(fields['counts']) }),
        ...(fields['load'] === 'wait' || fields['load'] === 'refuse' ? { load: fields['load'] } : {}),
        isIdleRefused: fields['isIdleRefused'] === true,
        oldestPreAuthAtMs: typeof oldest === 'number' ? oldest : undefined,
      };
    }
    case 'route':
      return {
        kind: 'route',
        id: count(fields['id']),
        service: text(fields['service']),
        user: text(fields['user']),
        uid: fields['uid'] === undefined ? undefined : count(fields['uid']),
        gid: fields['gid'] === undefined ? undefined : count(fields['gid']),
        takesLease: fields['takesLease'] === true,
      };
    case 'metrics':
      return { kind: 'metrics', id: count(fields['id']), format: fields['format'] === 'openmetrics' ? 'openmetrics' : 'text' };
    case 'route-failed':
      return { kind: 'route-failed', ticket: count(fields['ticket']), reason: text(fields['reason']) };
    default:
      return undefined;
  }
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) throw new TypeError('a message must be an object');
  return { ...value };
}

function count(value: unknown): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
    throw new TypeError(`${JSON.stringify(value)} is not a count`);
  return value;
}

function counts(value: unknown): number[] {
  if (!Array.isArray(value)) throw new TypeError('a list is missing');
  return value.map(count);
}

/** Names that this master does not know are left out: a reload may mix versions for a while. */
function namedCounts(value: unknown): Counts {
  const named: Partial<Record<CountName, number>> = {};
  for (const [name, number] of Object.entries(record(value))) if (isCountName(name)) named[name] = count(number);
  return named;
}

function texts(value: unknown): string[] {
  if (!Array.isArray(value) || value.length > 1_000) throw new TypeError('a list is missing or too long');
  return value.map(text);
}

function text(value: unknown): string {
  if (typeof value !== 'string' || value.length > 1_024) throw new TypeError('a text is missing or too long');
  return value;
}
