// `roost dev`, which is `npm start`: a server to try out, in ./var and nowhere else, for whoever has just cloned the repository.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { errnoOf } from '#util/coded-error.js';
import { complain, say } from '../messages.js';
import { runServer } from '../server.js';
import { prepareFolder } from './files.js';
import { tableOf } from './table.js';
import { innerFolderVariable, innerRealFolderVariable, pickUser, runAs } from './unprivileged.js';

/** Ctrl-C ends everything within 2 s, so sessions have less. */
const stopGraceMs = 800;

/**
 * Runs until Ctrl-C.
 * @param configFile '' for ./var/roost.conf
 * @returns exit code
 */
export async function runDevelopmentInstance(configFile: string): Promise<number> {
  const checkout = process.cwd();
  const folder = process.env[innerFolderVariable] ?? join(checkout, 'var');
  const realFolder = process.env[innerRealFolderVariable] ?? folder;
  if (process.getuid?.() === 0) {
    const user = pickUser(checkout);
    say(`started as root: everything runs as ${user.uid === 65_534 ? 'nobody' : `the owner of this folder, uid ${user.uid}`}`);
    mkdirSync(folder, { recursive: true });
    return await runAs(user, checkout, folder, configFile === '' ? [] : ['-c', resolve(configFile)]);
  }
  let configPath: string;
  try {
    mkdirSync(folder, { recursive: true });
    const prepared = await prepareFolder(folder, realFolder);
    if (prepared.made.length > 0) say(`made in ${realFolder}: ${prepared.made.join(', ')}`);
    configPath = configFile === '' ? prepared.configPath : configFile;
  } catch (error) {
    if (errnoOf(error) !== 'EACCES' && errnoOf(error) !== 'EPERM') throw error;
    return complain([
      `${error instanceof Error ? error.message : String(error)}: ${realFolder} belongs to another user; remove it or give it to yourself`,
    ]);
  }
  const isRelocated = folder !== realFolder;
  const effectivePath = join(folder, 'run', basename(configPath));
  return await runServer({
    configPath: isRelocated ? effectivePath : configPath,
    isTextLog: true,
    stopGraceMs,
    beforeLoad: () => {
      // The real paths lead through folders we may not enter; the same from the folder we are in.
      if (!isRelocated) return;
      mkdirSync(dirname(effectivePath), { recursive: true });
      writeFileSync(effectivePath, readFileSync(configPath, 'utf8').replaceAll(realFolder, folder));
    },
    onReady: (plan) => process.stdout.write(tableOf(plan, join(realFolder, basename(configPath)))),
  });
}
