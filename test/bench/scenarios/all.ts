import type { Scenario } from '../scenario.js';
import { bannerScenarios } from './banner.js';
import { clientScenarios } from './client.js';
import { deliveryScenarios } from './delivery.js';
import { fairnessScenarios } from './fairness.js';
import { idleScenarios } from './idle.js';
import { imapScenarios } from './imap.js';
import { imapCommandScenarios } from './imap-commands.js';
import { imapLargeScenarios } from './imap-large.js';
import { imapMixedScenarios } from './imap-mixed.js';
import { loginScenarios } from './logins.js';
import { rawLimitScenarios } from './raw-limit.js';
import { storeScenarios } from './store.js';
import { storeAppendScenarios } from './store-append.js';
import { storeMillionScenarios } from './store-million.js';
import { stormScenarios } from './storm.js';

/** In the order in which they run. */
export const scenarios: readonly Scenario[] = [
  ...clientScenarios,
  ...loginScenarios,
  ...bannerScenarios,
  ...stormScenarios,
  ...fairnessScenarios,
  ...deliveryScenarios,
  ...imapCommandScenarios,
  ...imapLargeScenarios,
  ...imapScenarios,
  ...imapMixedScenarios,
  ...storeScenarios,
  ...storeAppendScenarios,
  ...storeMillionScenarios,
  ...rawLimitScenarios,
  ...idleScenarios,
];
