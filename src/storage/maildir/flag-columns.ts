import type { FlagColumns } from '../wire-run.js';
import type { Numbering } from './numbering.js';
import type { ViewNews } from './view-news.js';

/** Of the messages `first` to `last` of a view; undefined where they do not lie in rows of that order, or some are \Recent. */
export function flagColumns({ state, count, isPlain }: Numbering, news: ViewNews, first: number, last: number): FlagColumns | undefined {
  if (!isPlain || first < 1 || last > count) return undefined;
  const { uid, flags, keywordSet } = state.columns;
  if (news.hasRecent(uid[first - 1] as number, uid[last - 1] as number)) return undefined;
  return { uid, flags, keywordSet, keywordsOf: (set) => state.keywordSetAt(set) };
}
