// All commands by name.
import type { CommandRow } from './command-spec.js';
import { deleteAclRow, getAclRow, listRightsRow, myRightsRow, setAclRow } from './commands/acl.js';
import { appendRow } from './commands/append.js';
import { cancelUpdateRow } from './commands/cancel-update.js';
import { capabilityRow } from './commands/capability.js';
import { compressRow } from './commands/compress.js';
import { copyRow, moveRow } from './commands/copy.js';
import { createRow } from './commands/create.js';
import { deleteRow } from './commands/delete.js';
import { enableRow } from './commands/enable.js';
import { esearchRow } from './commands/esearch.js';
import { expungeRow } from './commands/expunge.js';
import { fetchRow } from './commands/fetch.js';
import { idRow } from './commands/id.js';
import { idleRow } from './commands/idle.js';
import { listRow, lsubRow } from './commands/list.js';
import { getMetadataRow, setMetadataRow } from './commands/metadata.js';
import { namespaceRow } from './commands/namespace.js';
import { notifyRow } from './commands/notify.js';
import { getQuotaRootRow, getQuotaRow, setQuotaRow } from './commands/quota.js';
import { renameRow } from './commands/rename.js';
import { replaceRow } from './commands/replace.js';
import { searchRow } from './commands/search.js';
import { closeRow, examineRow, selectRow, unselectRow } from './commands/select.js';
import { checkRow, loginAgainRows, logoutRow, noopRow, unauthenticateRow } from './commands/session-commands.js';
import { sortRow } from './commands/sort.js';
import { statusRow } from './commands/status.js';
import { storeRow } from './commands/store.js';
import { subscribeRow, unsubscribeRow } from './commands/subscribe.js';
import { threadRow } from './commands/thread.js';

import { genUrlAuthRow, resetKeyRow, urlFetchRow } from './commands/urlauth.js';

const rows: readonly CommandRow[] = [
  appendRow,
  cancelUpdateRow,
  capabilityRow,
  checkRow,
  closeRow,
  compressRow,
  copyRow,
  createRow,
  deleteAclRow,
  deleteRow,
  enableRow,
  esearchRow,
  examineRow,
  expungeRow,
  fetchRow,
  genUrlAuthRow,
  getAclRow,
  getMetadataRow,
  getQuotaRootRow,
  getQuotaRow,
  idRow,
  idleRow,
  listRightsRow,
  listRow,
  logoutRow,
  lsubRow,
  moveRow,
  myRightsRow,
  namespaceRow,
  noopRow,
  notifyRow,
  renameRow,
  replaceRow,
  resetKeyRow,
  searchRow,
  selectRow,
  setAclRow,
  setMetadataRow,
  setQuotaRow,
  sortRow,
  statusRow,
  storeRow,
  subscribeRow,
  threadRow,
  unauthenticateRow,
  unselectRow,
  unsubscribeRow,
  urlFetchRow,
  ...loginAgainRows,
];

const byName: ReadonlyMap<string, CommandRow> = new Map(rows.map((row) => [row.name, row]));

/** @param name upper case, without `UID ` */
export function findCommand(name: string): CommandRow | undefined {
  return byName.get(name);
}

/** For tests over all commands. */
export function allCommands(): readonly CommandRow[] {
  return rows;
}
