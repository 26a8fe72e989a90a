// userdb { driver = prefetch }: the passdb already said everything in its userdb_* fields.
import type { Userdb } from '../database.js';

export function prefetchUserdb(): Userdb {
  return {
    driver: 'prefetch',
    cacheKey: undefined,
    // Without a preceding passdb (LMTP, roostadm) there is nothing prefetched: the next userdb is asked.
    lookup: (state) =>
      state.hasPrefetch ? { kind: 'found', fields: [...state.userdbFields] } : { kind: 'unknown', heldUntilMs: Number.POSITIVE_INFINITY },
    list: () => undefined,
  };
}
