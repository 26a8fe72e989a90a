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

export class ProcessStarter {
  readonly #plan: ServicePlan;
  readonly #server: ServerPlan;
  readonly #environment: StarterEnvironment;
  /** Undefined where processes live long. */
  readonly #template: Template | undefined;

  /** @param identity of those that a template is for */
  constructor(plan: ServicePlan, server: ServerPlan, environment: StarterEnvironment, identity: Identity | undefined) {
    this.#plan = plan;
    this.#server = server;
    this.#environment = environment;
    const { serviceCount } = plan.limits;
    if (!server.hasTemplates || serviceCount === 0 || serviceCount > maxCopyServiceCount) return;
    this.#template = new Template({
      service: plan.name,
      command: () => this.#command(identity, this.listenerFds),
      ownFdCount: plan.takesHandoffs ? privateSocketCount : 0,
      isWorthWaiting: plan.limits.processMinAvail > 0,
      log: environment.log,
      openLog: (pid) => this.#openLog(pid),
    });
  }

  /** They become descriptors 4, 5, ... of each process. */
  get listenerFds(): number[] {
    return this.#plan.listeners.map((listener) => this.#environment.listeners.fdOf(listener));
  }

  /**
   * @param identity undefined: the master's own
   * @param isUsual the identity is that of the template
   * @param ownFds follow those of the listeners
   */
  start(identity: Identity | undefined, isUsual: boolean, ownFds: readonly number[], events: ChildEvents): Child {
    const openLog = (pid: number): LineCollector => this.#openLog(pid);
    const copy = isUsual ? this.#template?.copy(ownFds, events, openLog) : undefined;
    return copy ?? new SpawnedChild(this.#command(identity, [...this.listenerFds, ...ownFds]), events, openLog);
  }

  /** What the process itself has to change to, because spawn cannot give it all its groups. */
  becomes(identity: Identity | undefined): StartMessage['becomes'] {
    const { extraGroups } = this.#plan;
    return identity !== undefined && extraGroups.length > 0 ? { ...identity, groups: extraGroups } : undefined;
  }

  /** Nothing will be started any more. */
  retire(): void {
    this.#template?.retire();
  }

  #command(identity: Identity | undefined, inheritedFds: readonly number[]): ChildCommand {
    const { rolesFolder } = this.#environment;
    const spawnIdentity = this.becomes(identity) === undefined ? identity : undefined;
    return childCommand({ plan: this.#plan, server: this.#server, rolesFolder, identity: spawnIdentity, inheritedFds });
  }

  #openLog(pid: number): LineCollector {
    return this.#environment.logFiles.streamFor(`${this.#plan.name}: `, pid);
  }
}
