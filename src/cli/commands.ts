// Every command, in the order of the help.
import type { CommandSpec } from './command.js';
import { reload } from './commands/reload.js';
import { stop } from './commands/stop.js';

export const commands: readonly CommandSpec[] = [reload, stop];
