import type { UserFields } from './client.js';

/** The uid that userdb gives a user; undefined when it gives none, NaN when it is no number. */
export function userUid({ fields }: UserFields): number | undefined {
  const text = fields['uid'];
  return text === undefined || text === '' ? undefined : Number(text);
}
