// Every command, in the order of the help.
import type { CommandSpec } from './command.js';
import { authCacheFlush } from './commands/auth-cache-flush.js';
import { authLogin } from './commands/auth-login.js';
import { authLookup } from './commands/auth-lookup.js';
import { authTest } from './commands/auth-test.js';
import { config } from './commands/config.js';
import { kick } from './commands/kick.js';
import { penalty } from './commands/penalty.js';
import { processStatus } from './commands/process-status.js';
import { pw } from './commands/pw.js';
import { reload } from './commands/reload.js';
import { serviceStatus } from './commands/service-status.js';
import { serviceStop } from './commands/service-stop.js';
import { stop } from './commands/stop.js';
import { who } from './commands/who.js';

export const commands: readonly CommandSpec[] = [
  authTest,
  authLogin,
  authLookup,
  authCacheFlush,
  config,
  kick,
  penalty,
  processStatus,
  pw,
  reload,
  serviceStatus,
  serviceStop,
  stop,
  who,
];
