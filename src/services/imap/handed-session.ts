// One client in this process, from its hand-off to its end: served (served-session.ts) or folded (folded-sessions.ts), and back, as often as it idles.
import type { Duplex } from 'node:stream';
import type { UserFields } from '#auth/client.js';
import type { GoBack } from '#pre-auth/direct.js';
import { userLimit } from '#pre-auth/user-limit.js';
import { Handed } from '#service-kit/handed.js';
import type { ClientHandle, HandedConnection } from '#service-kit/role.js';
import type { FoldedSession, FoldOrder } from './folded-sessions.js';
import { type ServedEnd, type ServedOptions, ServedSession, type SessionParts } from './served-session.js';
import { imapSettings } from './settings.js';

type StopReason = Parameters<ClientHandle['stop']>[0];

export class HandedSession implements ClientHandle {
  readonly startedAtMs = Date.now();
  readonly #parts: SessionParts;
  readonly #stream: Duplex;
  readonly #release: () => void;
  readonly #goBack: GoBack | undefined;
  readonly #disconnected: () => void;
  /** Beside `folded` for the moment in which what was served ends. */
  #served: ServedSession | undefined;
  #folded: FoldedSession | undefined;
  #stopReason: StopReason | undefined;

  constructor(
    parts: SessionParts,
    handed: HandedConnection,
    { known, goBack }: { readonly known: UserFields | undefined; readonly goBack: GoBack | undefined },
  ) {
    this.#parts = parts;
    this.#stream = handed.stream;
    this.#release = handed.release;
    this.#goBack = goBack;
    const { user, sessionId, peer } = handed.request;
    const { anvil, settings } = parts.context;
    const mayWait =
      userLimit(settings, peer) === undefined &&
      settings.forConnection({ remoteIp: peer.remoteIp, localIp: peer.localIp }).get(imapSettings).imap_hibernate_timeout === 0;
    this.#disconnected = anvil.connect({ user, remoteIp: peer.remoteIp, service: 'imap', sessionId }, () => this.stop('kicked'), mayWait);
    this.#serve(handed, { known });
  }

  get isPreAuth(): boolean {
    return false;
  }

  get title(): string {
    const folded = this.#folded?.unfold();
    const { user, peer } = folded?.request ?? this.#served?.request ?? { user: '', peer: { remoteIp: '' } };
    const command = folded === undefined ? this.#served?.runningCommand : 'IDLE';
    return `${user} ${peer.remoteIp}${command === undefined ? '' : ` ${command}`}`;
  }

  stop(reason: StopReason): void {
    this.#stopReason ??= reason;
    if (this.#folded !== undefined) this.#folded.wake();
    else this.#served?.stop(reason);
  }

  /** For the folded session. */
  woken(): void {
    // Else it goes on once the former one has ended.
    if (this.#served === undefined) this.#unfold();
  }

  #serve(handed: HandedConnection, options: Pick<ServedOptions, 'known' | 'unfolded'>): void {
    // Written out: see service-kit/open-socket.ts.
    const served = new ServedSession(this.#parts, handed, {
      known: options.known,
      unfolded: options.unfolded,
      goBack: this.#goBack,
      fold: (order) => this.#fold(order),
      disconnected: this.#disconnected,
    });
    this.#served = served;
    if (this.#stopReason !== undefined) served.stop(this.#stopReason);
    served
      .run()
      .then((end) => this.#ended(end))
      .catch((error: unknown) => this.#parts.context.log.error('session.release', 'Releasing a connection failed', { error }));
  }

  #fold(order: FoldOrder): void {
    this.#folded = this.#parts.folded?.fold(order, this);
  }

  #unfold(): void {
    const folded = this.#folded;
    if (folded === undefined) return;
    this.#folded = undefined;
    const { request, state } = folded.unfold();
    this.#serve(new Handed(this.#stream, request, this.#release), { known: folded.fields, unfolded: { from: folded, state } });
  }

  #ended(end: ServedEnd): void {
    this.#served = undefined;
    if (end === 'folded') {
      if (this.#folded?.isAwake === true) this.#unfold();
      return;
    }
    this.#disconnected();
    if (end === 'back') return;
    this.#stream.destroy();
    this.#release();
  }
}
