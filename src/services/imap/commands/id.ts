import { parseId } from '#protocol/imap/commands/id.js';
import { encodeText } from '#protocol/imap/encoder.js';
import { row } from '../command-spec.js';
import { ok } from '../outcome.js';

/** Values of `*` in imap_id_send. */
const ownFields: Readonly<Record<string, string>> = { name: 'Roost', vendor: 'Roost' };

/** `name * vendor "X Y"` to the text of the ID response: names and values in turn. */
export function formatIdResponse(setting: string): string {
  const words = [...setting.matchAll(/"((?:\\.|[^"\\])*)"|(\S+)/g)].map((match) => match[1]?.replace(/\\(.)/g, '$1') ?? match[2] ?? '');
  const parts: string[] = [];
  for (let index = 0; index + 1 < words.length; index += 2) {
    const name = words[index] ?? '';
    const value = words[index + 1] === '*' ? ownFields[name.toLowerCase()] : words[index + 1];
    if (value !== undefined) parts.push(`${encodeText(name)} ${encodeText(value)}`);
  }
  return parts.length === 0 ? 'NIL' : `(${parts.join(' ')})`;
}

/** `a=b, c=d` of the fields that imap_id_log names. */
export function formatIdLog(setting: string, fields: readonly (readonly [string, string | null])[]): string {
  const wanted = new Set(setting.toLowerCase().split(/\s+/));
  return fields
    .filter(([name]) => wanted.has('*') || wanted.has(name))
    .map(([name, value]) => `${name}=${(value ?? 'NIL').replace(/[^\x20-\x7e]/g, '?').slice(0, 200)}`)
    .join(', ');
}

/** RFC 2971 */
export const idRow = row({
  name: 'ID',
  state: 'any',
  flags: ['beside-search'],
  parse: parseId,
  async run(session, { fields }) {
    const line = formatIdLog(session.settings.imap_id_log, fields);
    if (line !== '') session.log.info('imap.id', `ID sent: ${line}`, { client: Object.fromEntries(fields) });
    session.text(`* ID ${formatIdResponse(session.settings.imap_id_send)}\r\n`);
    return ok('ID completed.');
  },
});
