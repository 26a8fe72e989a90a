import { createHash } from 'node:crypto';
import type { IndexState } from '../index/index-state.js';
import { extensionField } from './uid-list.js';

/**
 * Stable id of a message: the G field of its uidlist record, else its base name. A base name that cannot stand in a uidlist field (a
 * space in it) is hashed, so that a copy's G field equals it.
 */
export function guidOf(state: IndexState, row: number): string {
  const extension = state.columns.extensionOf(row);
  const own = extension === '' ? undefined : extensionField(extension, 'G');
  if (own !== undefined && own !== '') return own;
  const name = state.columns.nameOf(row);
  return /[\s:]/.test(name) ? createHash('sha256').update(name, 'latin1').digest('hex') : name;
}
