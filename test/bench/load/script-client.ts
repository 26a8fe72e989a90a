// Plays the same plans as native-client.ts in this process, where there is no compiler for that. Rows then say so: the client takes as much CPU as a
// good server.
import { ImapLoad } from './imap-client.js';
import type { Endpoint } from './line-connection.js';
import type { Played } from './native-client.js';
import type { Session, WorkerPlan } from './plan.js';

/** What workers of one load have in common. */
interface Course {
  readonly until: number;
  left: number;
  hasFailed: boolean;
  readonly sessions: number[];
  readonly commands: number[];
}

export class ScriptLoad {
  readonly #endpoint: Endpoint;
  readonly #password: string;
  readonly #plans: readonly WorkerPlan[];
  readonly #held: ReadonlyMap<WorkerPlan, ImapLoad>;

  private constructor(
    { endpoint, password, plans }: { readonly endpoint: Endpoint; readonly password: string; readonly plans: readonly WorkerPlan[] },
    held: ReadonlyMap<WorkerPlan, ImapLoad>,
  ) {
    this.#endpoint = endpoint;
    this.#password = password;
    this.#plans = plans;
    this.#held = held;
  }

  static async start(options: {
    readonly endpoint: Endpoint;
    readonly password: string;
    readonly plans: readonly WorkerPlan[];
  }): Promise<ScriptLoad> {
    const held = options.plans.filter(({ kind }) => kind === 'held');
    const clients = await Promise.all(held.map(({ user }) => ImapLoad.login(options.endpoint, user, options.password)));
    return new ScriptLoad(options, new Map(held.map((plan, index) => [plan, clients[index]] as const).filter(isPair)));
  }

  async run(durationMs: number, most: number): Promise<Played> {
    const cpuBefore = process.cpuUsage();
    const startedAt = performance.now();
    const course: Course = { until: startedAt + durationMs, left: most, hasFailed: false, sessions: [], commands: [] };
    await Promise.all(
      this.#plans.map((plan) =>
        this.#work(plan, course).catch((error: unknown) => {
          course.hasFailed = true;
          throw error;
        }),
      ),
    );
    const { user, system } = process.cpuUsage(cpuBefore);
    return {
      seconds: (performance.now() - startedAt) / 1_000,
      sessions: course.sessions,
      commands: course.commands,
      clientCpuMs: (user + system) / 1_000,
    };
  }

  async end(): Promise<void> {
    for (const client of this.#held.values()) await client.logout();
  }

  async #work(plan: WorkerPlan, course: Course): Promise<void> {
    for (let turn = 0; course.left > 0 && !course.hasFailed && performance.now() < course.until; turn++) {
      course.left -= 1;
      if (plan.kind === 'sessions') await this.#play(plan.user, plan.sessions[turn % plan.sessions.length] ?? [], course);
      else {
        const request = plan.requests[turn % plan.requests.length];
        const client = this.#held.get(plan);
        if (request !== undefined && client !== undefined) await timed(course.commands, () => client.request(request));
      }
    }
  }

  #play(user: string, session: Session, { sessions, commands }: Course): Promise<void> {
    return timed(sessions, async () => {
      const client = await timed(commands, () => ImapLoad.login(this.#endpoint, user, this.#password));
      for (const request of session) await timed(commands, () => client.request(request));
      await timed(commands, () => client.logout());
    });
  }
}

async function timed<Result>(latencies: number[], work: () => Promise<Result>): Promise<Result> {
  const before = performance.now();
  const result = await work();
  latencies.push(performance.now() - before);
  return result;
}

function isPair(pair: readonly [WorkerPlan, ImapLoad | undefined]): pair is readonly [WorkerPlan, ImapLoad] {
  return pair[1] !== undefined;
}
