// The anvil role: who is connected, and login penalties, over all processes. Everything is in memory. After a reload the process goes on;
// after a crash its clients connect again and announce their sessions, and penalties are forgotten.
import type { Role } from '#service-kit/role.js';
import { AnvilPeer, type AnvilState } from './connection.js';
import { KickedSessions } from './kicked-sessions.js';
import { LatePeers } from './late-peers.js';
import { Penalties } from './penalties.js';
import { Sessions } from './sessions.js';

export const role: Role = {
  name: 'anvil',
  settings: [],
  start(context) {
    const state: AnvilState = {
      sessions: new Sessions<AnvilPeer>(),
      kicked: new KickedSessions(),
      late: new LatePeers<AnvilPeer>(),
      penalties: new Penalties(),
      log: context.log,
      nowMs: Date.now,
    };
    context.onConnection(({ socket, listener, release }) => {
      const peer = new AnvilPeer(socket, state, listener.name.startsWith('login/') ? 'lookup' : 'all');
      socket.on('close', release);
      // Processes that still have clients keep their connection until the last one has gone; anvil is stopped after them.
      return { isPreAuth: false, startedAtMs: Date.now(), stop: () => peer.end() };
    });
    return Promise.resolve(() => Promise.resolve());
  },
};
