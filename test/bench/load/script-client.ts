// Plays the same plans as native-client.ts in this process, where there is no compiler for that. Rows then say so: the client takes as much CPU as a
// good server.
import { ImapLoad } from './imap-client.js';
import type { Endpoint } from './line-connection.js';
import type { Played } from './native-client.js';
import type { Session, WorkerPlan } from './plan.js';
import { SmtpLoad } from './smtp-client.js';

/** What workers of one load have in common. */
interface Course {
  readonly until: number;
  left: number;
  hasFailed: boolean;
  readonly sessions: number[];
  readonly commands: number[];
}

/** Of a worker that has logged in, or said hello, before the load. */
interface Held {
  /** One of its requests, or deliveries. */
  play(turn: number): Promise<unknown>;
  end(): Promise<void>;
}

export interface ScriptOptions {
  readonly endpoint: Endpoint;
  readonly password: string;
  readonly plans: readonly WorkerPlan[];
}

export class ScriptLoad {
  readonly #endpoint: Endpoint;
  readonly #password: string;
  readonly #plans: readonly WorkerPlan[];
  readonly #held: ReadonlyMap<WorkerPlan, Held>;

  private constructor({ endpoint, password, plans }: ScriptOptions, held: ReadonlyMap<WorkerPlan, Held>) {
    this.#endpoint = endpoint;
    this.#password = password;
    this.#plans = plans;
    this.#held = held;
  }

  static async start(options: ScriptOptions): Promise<ScriptLoad> {
    const held = new Map<WorkerPlan, Held>();
    const opened = await Promise.allSettled(
      options.plans.map(async (plan) => {
        if (plan.kind !== 'sessions') held.set(plan, await hold(plan, options));
      }),
    );
    const load = new ScriptLoad(options, held);
    const failed = opened.find((each) => each.status === 'rejected');
    if (failed === undefined) return load;
    await load.end();
    throw failed.reason;
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
    for (const held of this.#held.values()) await held.end();
  }

  async #work(plan: WorkerPlan, course: Course): Promise<void> {
    const held = this.#held.get(plan);
    for (let turn = 0; course.left > 0 && !course.hasFailed && performance.now() < course.until; turn++) {
      course.left -= 1;
      if (plan.kind === 'sessions') await this.#play(plan.user, plan.sessions[turn % plan.sessions.length] ?? [], course);
      else if (held !== undefined) await timed(course.commands, () => held.play(turn));
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

async function hold(plan: Exclude<WorkerPlan, { kind: 'sessions' }>, { endpoint, password }: ScriptOptions): Promise<Held> {
  if (plan.kind === 'delivery') {
    const client = await SmtpLoad.connect(endpoint, plan.delivery);
    return { play: () => client.deliver(), end: () => client.quit() };
  }
  const client = await ImapLoad.login(endpoint, plan.user, password);
  return {
    async play(turn) {
      const request = plan.requests[turn % plan.requests.length];
      if (request !== undefined) await client.request(request);
    },
    end: () => client.logout(),
  };
}
