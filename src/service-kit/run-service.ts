// The main program of every child process: start message, role, signals, exit code.
import { createLogger, type Logger, type LoggerOptions } from '#log/logger.js';
import { allocateYoung } from './allocate-young.js';
import { becomeUser } from './become-user.js';
import { collectLater } from './collect-later.js';
import { compileSooner } from './compile-sooner.js';
import { ControlLink } from './control-link.js';
import { Practising } from './practice.js';
import { rehearse } from './rehearsal.js';
import type { Role } from './role.js';
import { ServiceProcess } from './service-process.js';
import { connectionSettings } from './settings.js';
import { becomeCopy, isTemplate } from './template-process.js';

/** Exit codes the master explains in its log, Dovecot's numbers. */
const exitCodes = { ok: 0, fatal: 89 } as const;
/** Between the end and the exit, for octets on their way to clients and the master. */
const lastWordsMs = 1_000;

/** Runs the role until the master stops it or is gone, then exits. As a template (template-process.ts) it does so in each copy. */
export function runService(role: Role): void {
  if (!isTemplate()) {
    serve(role);
    return;
  }
  becomeCopy(`roost/${role.name}`, () => rehearse(role, (control) => run(role, control, openUnheardLog))).then(
    () => serve(role),
    (error: unknown) => {
      process.stderr.write(`the template of ${role.name} cannot be made: ${error instanceof Error ? error.message : String(error)}\n`);
      process.exit(exitCodes.fatal);
    },
  );
}

/** For the rehearsal: does everything but write. */
function openUnheardLog(options: LoggerOptions): Logger {
  return createLogger({ ...options, destination: { write: () => undefined } });
}

function serve(role: Role): void {
  const log = createLogger({ prefix: `${role.name}: `, debug: false });
  catchFatal(log);
  // A terminal sends these to every process of the foreground; only the master acts on them.
  for (const signal of ['SIGINT', 'SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGPIPE'] as const) process.on(signal, () => undefined);
  run(role, new ControlLink(), createLogger, (stop) => process.on('SIGTERM', stop))
    .then(lastWords)
    .then(
      () => process.exit(exitCodes.ok),
      (error: unknown) => die(log, 'Fatal', error),
    );
}

/**
 * Runs the role until its master stops it or is gone.
 * @param onRunning gets what ends the sessions
 */
export async function run(
  role: Role,
  control: ControlLink,
  openLog: typeof createLogger,
  onRunning: (stop: () => void) => void = () => undefined,
): Promise<void> {
  const settings = [connectionSettings, ...role.settings].map(({ name }) => name);
  control.send({ kind: 'needs', settings, sections: role.sections ?? [] });
  const start = await control.start();
  // The master has gone, or changed its mind, before it needed this process.
  if (start === undefined) return;
  if (start.becomes !== undefined) becomeUser(start.becomes);
  const log = openLog({ prefix: `${start.service}: `, debug: start.isDebug });
  let practising: Practising | undefined;
  let onFinished: () => void = () => undefined;
  const finished = new Promise<void>((resolve) => {
    onFinished = resolve;
  });
  const service: ServiceProcess = new ServiceProcess(start, control, log, {
    onFinished,
    onClients: (isAtRest) => (isAtRest ? practising?.start() : practising?.interrupt()),
  });
  control.listen({
    onMessage: (message) => service.receive(message),
    onClosed: () => service.stop('finish', 'the master is gone'),
  });
  onRunning(() => service.stop('end', 'killed with SIGTERM'));
  const end = await role.start(service);
  service.ready();
  // Others end before it pays, and copies of a template would compile in the thread that serves.
  if (start.serviceCount === 0) {
    compileSooner(role.name);
    collectLater();
    allocateYoung();
  }
  if (start.practises === true) {
    practising = new Practising({
      role,
      title: start.title,
      log,
      serve: (ownControl) => run(role, ownControl, openUnheardLog).finally(() => service.titleChanged()),
      isAtRest: () => service.isAtRest,
    });
    practising.start();
  }
  await finished;
  await practising?.stop();
  await end();
  await service.close();
}

/** Gives client connections that are closing a moment to send what they hold. */
function lastWords(): Promise<void> {
  const deadline = performance.now() + lastWordsMs;
  return new Promise((resolve) => {
    const look = (): void => {
      const isOpen = process.getActiveResourcesInfo().includes('TCPSocketWrap');
      if (isOpen && performance.now() < deadline) setTimeout(look, 5);
      else resolve();
    };
    setImmediate(look);
  });
}

function catchFatal(log: Logger): void {
  process.on('uncaughtException', (error) => die(log, 'Uncaught exception', error));
  process.on('unhandledRejection', (error) => die(log, 'Unhandled rejection', error));
}

function die(log: Logger, what: string, error: unknown): void {
  log.error('service.fatal', `${what}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`, { error });
  process.exit(exitCodes.fatal);
}
