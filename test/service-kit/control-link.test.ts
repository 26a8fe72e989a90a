import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ControlLink } from '#service-kit/control-link.js';
import { socketPair } from '../support/socket-pair.js';

describe('A login that waits for a route', () => {
  for (const [what, end, reason] of [
    ['the master goes', 'master', /the master is gone/],
    ['its own process ends', 'process', /the process has come to its end/],
  ] as const) {
    it(`says why it has none when ${what}`, async (test) => {
      const [near, far] = await socketPair(test);
      const control = new ControlLink(near);
      const routed = control.route({ service: 'imap', user: 'alice', uid: undefined, gid: undefined });
      const failed = assert.rejects(routed, reason);
      if (end === 'master') far.destroy();
      else await control.close();
      await failed;
      await assert.rejects(control.route({ service: 'imap', user: 'alice', uid: undefined, gid: undefined }), reason);
      await control.close();
    });
  }
});
