// How the processes of one service come to be: as copies of a template where they live short, as programs of their own otherwise.
import type { StartMessage } from '#ipc/control.js';
import type { LineCollector, LogFiles } from '#log/files.js';
import type { Logger } from '#log/logger.js';
import { type Child, type ChildCommand, type ChildEvents, SpawnedChild } from './child.js';
import { childCommand } from './child-command.js';
import type { Listeners } from './listeners.js';
import type { Identity, ServerPlan, ServicePlan } from './plan.js';
import { Template } from './template.js';

/** A process that serves more clients than these before it is replaced starts rarely, and may as well have all of V8's threads. */
const maxCopyServiceCount = 16;
/** A mail process has two sockets of its own (private-sockets.ts). */
const privateSocketCount = 2;

export interface StarterEnvironment {
  readonly listeners: Listeners;
  readonly log: Logger;
  readonly logFiles: LogFiles;
  readonly rolesFolder: string;
}

export interface StartedChild {
  readonly child: Child;
  /** What the process itself has to change to: spawn cannot give it all its groups, and a copy has the identity of its template. */
  readonly becomes: StartMessage['becomes'];
}

export class ProcessStarter {
  readonly #plan: ServicePlan;
  readonly #server: ServerPlan;
  readonly #environment: StarterEnvironment;
  /** Undefined where processes live long. */
  readonly #template: Template | undefined;
  /**
   * Of processes that run as users with uids of their own: root's, as each copy has another user to become. It has met nobody, like every template,
   * and the copy becomes the user before it meets anybody. Started for the first such user.
   */
  readonly #usersTemplate: Template | undefined;

  /** @param identity of those that a template is for */
  constructor(plan: ServicePlan, server: ServerPlan, environment: StarterEnvironment, identity: Identity | undefined) {
    this.#plan = plan;
    this.#server = server;
    this.#environment = environment;
    const { serviceCount } = plan.limits;
    if (!server.hasTemplates || serviceCount === 0 || serviceCount > maxCopyServiceCount) return;
    this.#template = this.#newTemplate(identity, plan.limits.processMinAvail > 0, () => this.listenerFds);
    if (plan.isPerUser) this.#usersTemplate = this.#newTemplate(undefined, false, () => []);
  }

  #newTemplate(identity: Identity | undefined, isWorthWaiting: boolean, listenerFds: () => number[]): Template {
    return new Template({
      service: this.#plan.name,
      command: () => this.#command(identity, listenerFds()),
      ownFdCount: this.#plan.takesHandoffs ? privateSocketCount : 0,
      isWorthWaiting,
      log: this.#environment.log,
      openLog: (pid) => this.#openLog(pid),
    });
  }

  /** Those that there are just now. */
  get templates(): readonly Template[] {
    return [this.#template, this.#usersTemplate].flatMap((template) => (template?.facts === undefined ? [] : [template]));
  }

  /** They become descriptors 4, 5, ... of each process that does not run as a user of its own: such a one would hear the passwords of others. */
  get listenerFds(): number[] {
    return this.#plan.listeners.map((listener) => this.#environment.listeners.fdOf(listener));
  }

  /**
   * @param identity undefined: the master's own
   * @param isUsual the identity is that of most processes
   * @param ownFds follow those of the listeners, if it has any
   */
  start(identity: Identity | undefined, isUsual: boolean, ownFds: readonly number[], events: ChildEvents): StartedChild {
    const openLog = (pid: number): LineCollector => this.#openLog(pid);
    const template = isUsual ? this.#template : this.#usersTemplate;
    const copy = template?.copy(ownFds, events, openLog);
    if (copy !== undefined)
      return { child: copy, becomes: isUsual ? this.#becomes(identity) : becomingOf(identity, this.#plan.extraGroups) };
    const child = new SpawnedChild(this.#command(identity, [...(isUsual ? this.listenerFds : []), ...ownFds]), events, openLog);
    return { child, becomes: this.#becomes(identity) };
  }

  #becomes(identity: Identity | undefined): StartMessage['becomes'] {
    const { extraGroups } = this.#plan;
    return extraGroups.length > 0 ? becomingOf(identity, extraGroups) : undefined;
  }

  /** Nothing will be started any more. */
  retire(): void {
    this.#template?.retire();
    this.#usersTemplate?.retire();
  }

  #command(identity: Identity | undefined, inheritedFds: readonly number[]): ChildCommand {
    const { rolesFolder } = this.#environment;
    const spawnIdentity = this.#becomes(identity) === undefined ? identity : undefined;
    return childCommand({ plan: this.#plan, server: this.#server, rolesFolder, identity: spawnIdentity, inheritedFds });
  }

  #openLog(pid: number): LineCollector {
    return this.#environment.logFiles.streamFor(`${this.#plan.name}: `, pid);
  }
}

function becomingOf(identity: Identity | undefined, groups: readonly number[]): StartMessage['becomes'] {
  return identity === undefined ? undefined : { ...identity, groups };
}
