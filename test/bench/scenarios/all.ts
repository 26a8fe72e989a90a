import type { Scenario } from '../scenario.js';
import { deliveryScenarios } from './delivery.js';
import { idleScenarios } from './idle.js';
import { imapScenarios } from './imap.js';
import { loginScenarios } from './logins.js';

/** In the order in which they run. */
export const scenarios: readonly Scenario[] = [...loginScenarios, ...deliveryScenarios, ...imapScenarios, ...idleScenarios];
