// node dist-test/system/soak-main.js --seconds 600 --clients 200 [--seed 7] [--kill-every 300] [--reload-every 5000]
//   [--pools strict]: a process for each login and each session, copied from templates
//   [--pause 20000]: ms between two connections of a client, on average; 200 clients of strict pools need it on a small machine
//   [--shutdown-clients no]: sessions go on over reloads, which then explain nothing
//   [--direct no]: the mail services listen themselves as well unless told
//   [--naps 0.1]: the processes that touch mail sleep for some milliseconds at that share of their calls of the file system, to meet others there
//   [--users 2]: the fewer, the more clients meet in one mailbox; one for every eight clients unless told
//   [--log FILE]: what the server logged
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Soak } from './soak.js';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    clients: { type: 'string', default: '100' },
    seed: { type: 'string', default: String(Date.now() % 100_000) },
    'kill-every': { type: 'string', default: '300' },
    'reload-every': { type: 'string', default: '5000' },
    pools: { type: 'string', default: 'dense' },
    direct: { type: 'string', default: 'yes' },
    'shutdown-clients': { type: 'string', default: 'yes' },
    pause: { type: 'string', default: '0' },
    naps: { type: 'string', default: '0' },
    users: { type: 'string' },
    log: { type: 'string' },
  },
});

const soak = new Soak({
  seconds: Number(values.seconds),
  clients: Number(values.clients),
  seed: Number(values.seed),
  killEveryMs: Number(values['kill-every']),
  reloadEveryMs: Number(values['reload-every']),
  keepsSessions: values['shutdown-clients'] === 'no',
  pauseMs: Number(values.pause),
  pools: values.pools === 'strict' ? 'strict' : 'dense',
  naps: Number(values.naps),
  ...(values.users === undefined ? {} : { users: Number(values.users) }),
  hasDirect: values.direct !== 'no',
});
const result = await soak.run();
if (values.log !== undefined) writeFileSync(values.log, soak.log);
console.log(JSON.stringify({ seed: values.seed, ...result, problems: undefined, stories: undefined }, undefined, 2));
for (const problem of result.problems.slice(0, 50)) console.log(problem);
for (const story of result.stories) console.log(story);
console.log(`${result.problems.length} problems`);
if (result.problems.length > 0) {
  console.log(
    soak.log
      .split('\n')
      .filter((line) => /Warn|Error|Fatal|Panic/.test(line))
      .slice(-40)
      .join('\n'),
  );
  process.exitCode = 1;
}
