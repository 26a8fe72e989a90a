import { harakaFolder, startHaraka } from './haraka.js';
import { dovecotBinary, startMailServer } from './mail-server.js';
import type { Peer, PeerName, PeerOptions } from './peer.js';
import { postfixBinary, startPostfix } from './postfix.js';
import { startStub } from './stub.js';

/** Rivals are measured where their Debian or npm packages are installed. */
export function isInstalled(name: PeerName): boolean {
  switch (name) {
    case 'roost':
    case 'stub':
      return true;
    case 'dovecot':
      return dovecotBinary() !== undefined;
    case 'postfix':
      return postfixBinary() !== undefined && process.getuid?.() === 0;
    case 'haraka':
      return harakaFolder() !== undefined;
  }
}

export function startPeer(name: PeerName, options: PeerOptions): Promise<Peer> {
  switch (name) {
    case 'roost':
    case 'dovecot':
      return startMailServer(name, options);
    case 'postfix':
      return startPostfix(options);
    case 'haraka':
      return startHaraka(options);
    case 'stub':
      return startStub();
  }
}
