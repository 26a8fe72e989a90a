// Every knob that tuning guides for mail servers turn, and what it does for this one. The guides are the Haraka project's "Performance Tuning"
// page and KumoMTA's "Tuning for Performance"; both are written for servers that send mail out, on kernels of their time.
import type { MachineFacts, ServerNeeds } from './facts.js';

/** `no effect`: whatever the value, this server does not notice. `leave`: it could matter, and is right as it is. */
export type Verdict = 'good' | 'leave' | 'raise' | 'change' | 'no effect';

export interface TuneResult {
  readonly setting: string;
  /** `-` where this system does not have it. */
  readonly value: string;
  /** What guides say; '' when they say nothing. */
  readonly guides: string;
  readonly verdict: Verdict;
  readonly why: string;
}

type Check = (machine: MachineFacts, needs: ServerNeeds | undefined) => TuneResult;

/** Somebody who runs a small server needs no warning about numbers that only a large one comes near. */
const modestBacklog = 1024;
const threadsPerProcess = 12;

/** @param needs undefined without a configuration that can be read */
export function checkMachine(machine: MachineFacts, needs: ServerNeeds | undefined): readonly TuneResult[] {
  return checks.map((check) => check(machine, needs));
}

const numberOf = (text: string | undefined): number | undefined => (text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined);
const shown = (text: string | undefined): string => text ?? '-';
const count = (value: number): string => (Number.isFinite(value) ? String(value) : 'unlimited');

/** A kernel setting that should be at least as large as what is needed. */
function atLeast(
  setting: string,
  guides: string,
  need: (needs: ServerNeeds | undefined) => { readonly least: number; readonly why: string },
): Check {
  return (machine, needs) => {
    const text = machine.sysctl(setting);
    const value = numberOf(text);
    const { least, why } = need(needs);
    if (value === undefined) return { setting, value: shown(text), guides, verdict: 'leave', why: `${why} This system does not show it.` };
    const isEnough = value >= least;
    return {
      setting,
      value: shown(text),
      guides,
      verdict: isEnough ? 'good' : 'raise',
      why: isEnough ? why : `${why} At full load the configuration needs ${least}.`,
    };
  };
}

function fixed(setting: string, guides: string, verdict: Verdict, why: string): Check {
  return (machine) => ({ setting, value: shown(machine.sysctl(setting)), guides, verdict, why });
}

function ulimit(setting: string, name: string, need: (needs: ServerNeeds | undefined) => number, why: string, remedy: string): Check {
  return (machine, needs) => {
    const limit = machine.limit(name);
    const value = limit === undefined ? '-' : `${count(limit.soft)} (hard ${count(limit.hard)})`;
    const least = need(needs);
    const isEnough = limit === undefined || limit.soft >= least;
    const tooLow = `${why} At full load the configuration needs ${least}; this shell gives less (${remedy}).`;
    return { setting, value, guides: '', verdict: isEnough ? 'good' : 'raise', why: isEnough ? why : tooLow };
  };
}

function environment(
  setting: string,
  guides: string,
  judge: (value: string | undefined, machine: MachineFacts) => [Verdict, string],
): Check {
  return (machine) => {
    const value = machine.environment(setting);
    const [verdict, why] = judge(value, machine);
    return { setting, value: value ?? 'not set', guides, verdict, why };
  };
}

const network: readonly Check[] = [
  atLeast('net.core.somaxconn', 'KumoMTA: 1024', (needs) => ({
    least: Math.min(Math.max(needs?.backlog ?? modestBacklog, 128), modestBacklog),
    why:
      'Longest queue of connections that no process has accepted yet: what a reconnect storm after a restart waits in. Kernels since 5.4 have 4096; ' +
      "the guide's 1024 would lower that.",
  })),
  atLeast('net.ipv4.tcp_max_syn_backlog', '', () => ({
    least: modestBacklog,
    why: 'Connections whose handshake is not finished. SYN cookies take over when it is full, so a small value costs little.',
  })),
  atLeast('net.unix.max_dgram_qlen', '', () => ({
    least: 128,
    why: 'Connections that login has passed on and the mail process has not taken yet. When the queue is full, login waits for milliseconds and tries again.',
  })),
  fixed(
    'net.ipv4.tcp_keepalive_time',
    'Haraka: 120',
    'no effect',
    'Each listener sets its own time (tcp_keepalive, 120 secs unless set), so that phones that vanished are noticed without this.',
  ),
  fixed(
    'net.core.rmem_max',
    'Haraka: 33554432; KumoMTA: 262144',
    'no effect',
    'Limits SO_RCVBUF, which this server does not set; the kernel sizes receive buffers by tcp_rmem. The two guides contradict each other by a factor of 128.',
  ),
  fixed(
    'net.core.wmem_max',
    'Haraka: 33554432; KumoMTA: 262144',
    'no effect',
    'Limits SO_SNDBUF, which this server does not set; send buffers go by tcp_wmem.',
  ),
  fixed('net.core.rmem_default', 'KumoMTA: 32768', 'leave', 'TCP does not use it. UNIX sockets between the processes do: do not lower it.'),
  fixed('net.core.wmem_default', 'KumoMTA: 32768', 'leave', 'TCP does not use it. UNIX sockets between the processes do: do not lower it.'),
  fixed(
    'net.ipv4.tcp_rmem',
    'Haraka: 4096 87380 33554432',
    'leave',
    'The last number is a ceiling that few clients reach; 32 MB for each of thousands of connections is memory that mail could be cached in.',
  ),
  fixed(
    'net.ipv4.tcp_wmem',
    'Haraka: 4096 65536 33554432',
    'leave',
    'Reading a message stops while the socket is full, so larger buffers hold more of it in memory without sending it faster, except to clients far away.',
  ),
  fixed(
    'net.ipv4.ip_local_port_range',
    'KumoMTA: 5000 63000',
    'no effect',
    'For connections that go out. A mail access server takes them in; a load test from this machine may need it.',
  ),
  fixed(
    'net.ipv4.tcp_tw_reuse',
    'KumoMTA: 1',
    'no effect',
    'For connections that go out; the kernel has it on for loopback (2), where load tests run.',
  ),
];

const files: readonly Check[] = [
  ulimit(
    'open files (ulimit -n)',
    'Max open files',
    (needs) => needs?.filesPerProcess ?? 1024,
    'Each connection is one file, in a login process with TLS two.',
    'systemd: LimitNOFILE',
  ),
  atLeast('fs.file-max', 'KumoMTA: 250000', (needs) => ({
    least: needs?.files ?? 65_536,
    why: 'Open files of the whole machine.',
  })),
  atLeast('fs.nr_open', '', (needs) => ({ least: needs?.filesPerProcess ?? 1024, why: 'What the limit of open files can be raised to.' })),
  atLeast('fs.inotify.max_user_instances', '', (needs) => ({
    least: (needs?.watchingProcesses ?? 16) * 2,
    why:
      'One for each process that watches mailboxes, two while a client asks for news several times a second, counted by user: all mail processes of one ' +
      'mail user share it. Without one, sessions in IDLE look at their mailbox every mailbox_idle_check_interval.',
  })),
  atLeast('fs.inotify.max_user_watches', '', (needs) => ({
    least: Math.min((needs?.watchingSessions ?? 4096) * 2, 1_048_576),
    why: 'Two for each mailbox that is open in a session: new/ and cur/, and up to 512 more in a process. About 1 KB of kernel memory each.',
  })),
  atLeast('fs.inotify.max_queued_events', '', () => ({
    least: 16_384,
    why: 'When it overflows, sessions look at their mailboxes once, nothing is lost.',
  })),
];

const processes: readonly Check[] = [
  ulimit(
    'processes (ulimit -u)',
    'Max processes',
    (needs) => (needs?.processes ?? 32) * threadsPerProcess,
    `Counts threads, of which a process has about ${threadsPerProcess}.`,
    'systemd: TasksMax, LimitNPROC',
  ),
  atLeast('kernel.pid_max', '', (needs) => ({
    least: (needs?.processes ?? 32) * threadsPerProcess,
    why: `Threads count too; a process has about ${threadsPerProcess}.`,
  })),
  (machine) => {
    const value = machine.sysctl('vm.overcommit_memory');
    const isStrict = value === '2';
    return {
      setting: 'vm.overcommit_memory',
      value: shown(value),
      guides: '',
      verdict: isStrict ? 'change' : 'good',
      why: isStrict
        ? 'With 2 the kernel counts address space; a Node process reserves far more than it uses, and few of them would start.'
        : 'Only 2 would be a problem: a Node process reserves far more address space than it uses.',
    };
  },
  (machine) => ({
    setting: 'transparent huge pages',
    value: machine.hugePages ?? '-',
    guides: '',
    verdict: machine.hugePages === 'always' ? 'change' : 'good',
    why:
      machine.hugePages === 'always'
        ? 'Many processes with small heaps each get pages of 2 MB they do not fill; madvise saves memory.'
        : 'Small heaps keep small pages.',
  }),
  fixed('vm.max_map_count', 'KumoMTA: 768000', 'no effect', 'Counts memory-mapped areas. Files are read and written here, not mapped.'),
  fixed('kernel.shmmax', 'KumoMTA: 68719476736', 'no effect', 'System V shared memory, which nothing here uses.'),
  fixed('kernel.shmmni', 'KumoMTA: 4096', 'no effect', 'System V shared memory, which nothing here uses.'),
  fixed(
    'vm.nr_hugepages',
    'KumoMTA: 20',
    'no effect',
    'Huge pages set apart are lost to everything that does not ask for them, as this server does not.',
  ),
];

const runtime: readonly Check[] = [
  environment('UV_TCP_SINGLE_ACCEPT', 'Haraka: 1', (value, { nodeVersion, uvVersion }) => [
    value === undefined ? 'good' : 'no effect',
    `Gone since libuv 1.45; Node ${nodeVersion} has ${uvVersion}, which takes one connection at a time from a shared listener anyway. Processes here share each listening socket, so that one that ends leaves nobody unserved; with a socket for each (SO_REUSEPORT) the kernel drops who waits on it. reuse_port on a listener lets a second instance share the port.`,
  ]),
  environment('UV_THREADPOOL_SIZE', 'Haraka: up to 128', (value) => [
    value === undefined ? 'good' : 'no effect',
    'File access and password hashing wait for these threads: 4 a process. Set thread_pool_size (1 to 1024) in a service block; processes do not get this variable from the environment.',
  ]),
  environment('NODE_CLUSTER_SCHED_POLICY', 'Haraka: none', (value) => [
    value === undefined ? 'good' : 'no effect',
    'With "none" processes accept for themselves. That is how it is done here, always: the master is never in the way of a connection.',
  ]),
  environment('NODE_EXTRA_CA_CERTS', '', (value) => [
    value === undefined ? 'good' : 'leave',
    'Costs 100 ms at each start of a Node process. The processes of the server do not get it; this command does.',
  ]),
  (machine) => ({
    setting: 'CPUs',
    value: `${machine.usableCpus} of ${machine.cpuCount}`,
    guides: 'Haraka: one process for each',
    verdict: 'good',
    why:
      machine.usableCpus < machine.cpuCount
        ? 'Affinity or a control group keeps the rest away. Login and mail processes beyond this number share them.'
        : 'Login and mail processes are started as they are needed, up to process_limit; more busy ones than CPUs gain nothing.',
  }),
  (machine, needs) => {
    const gigabytes = (octets: number): string => (Number.isFinite(octets) ? `${(octets / 1024 ** 3).toFixed(1)} GB` : 'no bound');
    // Processes share code and rarely reach their limit together; only what can never fit is worth a word.
    const isTooLittle = needs !== undefined && needs.processes * 48 * 1024 ** 2 > machine.memoryBytes;
    return {
      setting: 'memory',
      value: gigabytes(machine.memoryBytes),
      guides: '',
      verdict: isTooLittle ? 'change' : 'good',
      why:
        needs === undefined
          ? 'An idle process takes about 48 MB, a connection some KB.'
          : `The configuration allows ${needs.processes} processes of about 48 MB before any client; vsz_limit bounds them to ${gigabytes(needs.memoryBytes)}` +
            `${isTooLittle ? ': lower process_limit, or let clients share processes (client_limit).' : '.'}`,
    };
  },
];

const checks: readonly Check[] = [...network, ...files, ...processes, ...runtime];
