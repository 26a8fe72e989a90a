// Connections to anvil that have something to say in the same turn of its event loop.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { silentLogger } from '#log/logger.js';
import { AnvilPeer, type AnvilState } from '#services/anvil/connection.js';
import { KickedSessions } from '#services/anvil/kicked-sessions.js';
import { LatePeers } from '#services/anvil/late-peers.js';
import { Penalties } from '#services/anvil/penalties.js';
import { Sessions } from '#services/anvil/sessions.js';
import { streamPair } from '../../support/stream-pair.js';

test('a session is counted for whoever asks in the same turn, in whatever order the connections are read', async () => {
  const state: AnvilState = {
    sessions: new Sessions<AnvilPeer>(),
    kicked: new KickedSessions(),
    late: new LatePeers<AnvilPeer>(),
    penalties: new Penalties(),
    log: silentLogger,
    nowMs: Date.now,
  };
  const [login, loginEnd] = streamPair();
  const [imap, imapEnd] = streamPair();
  new AnvilPeer(loginEnd, state, 'lookup');
  new AnvilPeer(imapEnd, state, 'all');
  login.write('VERSION\tanvil\t1\t0\nLOOKUP\timap/192.0.2.1/anna\n');
  imap.write('VERSION\tanvil\t1\t0\nCONNECT\t1\timap/192.0.2.1/anna\ts1\n');
  assert.equal(String((await once(login, 'data'))[0]), '1\n');
  for (const stream of [login, imap]) stream.destroy();
});
