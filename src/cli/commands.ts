// Every command, in the order of the help.
import type { CommandSpec } from './command.js';
import { aclAdd, aclDelete, aclGet, aclRecalc, aclRemove, aclRights, aclSet } from './commands/acl.js';
import { authCacheFlush } from './commands/auth-cache-flush.js';
import { authLogin } from './commands/auth-login.js';
import { authLookup } from './commands/auth-lookup.js';
import { authTest } from './commands/auth-test.js';
import { config } from './commands/config.js';
import { copy, move } from './commands/copy.js';
import { dump } from './commands/dump.js';
import { expunge } from './commands/expunge.js';
import { fetch } from './commands/fetch.js';
import { flagsAdd, flagsRemove, flagsReplace } from './commands/flags.js';
import { forceResync } from './commands/force-resync.js';
import { index } from './commands/index-mail.js';
import { kick } from './commands/kick.js';
import { mailboxCreate } from './commands/mailbox-create.js';
import { mailboxDelete } from './commands/mailbox-delete.js';
import { mailboxList } from './commands/mailbox-list.js';
import { mailboxRename } from './commands/mailbox-rename.js';
import { mailboxStatus } from './commands/mailbox-status.js';
import { mailboxSubscribe, mailboxUnsubscribe } from './commands/mailbox-subscribe.js';
import { metrics } from './commands/metrics.js';
import { penalty } from './commands/penalty.js';
import { processStatus } from './commands/process-status.js';
import { pw } from './commands/pw.js';
import { quotaGet } from './commands/quota-get.js';
import { quotaRecalc } from './commands/quota-recalc.js';
import { reload } from './commands/reload.js';
import { save } from './commands/save.js';
import { search } from './commands/search.js';
import { serviceStatus } from './commands/service-status.js';
import { serviceStop } from './commands/service-stop.js';
import { stop } from './commands/stop.js';
import { tune } from './commands/tune.js';
import { user } from './commands/user.js';
import { who } from './commands/who.js';

export const commands: readonly CommandSpec[] = [
  aclGet,
  aclRights,
  aclSet,
  aclAdd,
  aclRemove,
  aclDelete,
  aclRecalc,
  authTest,
  authLogin,
  authLookup,
  authCacheFlush,
  config,
  copy,
  dump,
  expunge,
  fetch,
  flagsAdd,
  flagsRemove,
  flagsReplace,
  forceResync,
  index,
  kick,
  mailboxList,
  mailboxStatus,
  mailboxCreate,
  mailboxDelete,
  mailboxRename,
  mailboxSubscribe,
  mailboxUnsubscribe,
  move,
  penalty,
  processStatus,
  pw,
  quotaGet,
  quotaRecalc,
  reload,
  save,
  search,
  serviceStatus,
  metrics,
  serviceStop,
  stop,
  tune,
  user,
  who,
];
