// The storage suite where each view, append and question of a mailbox belongs to another of three processes.

import { mailboxContract } from '../../contract/mailbox.js';
import { severalProcesses } from '../../contract/several.js';
import { type MailboxWorld, never } from '../../contract/world.js';
import { MaildirWorld } from './world.js';

const processes = 3;

async function makeWorld(options: { readonly maxExpungeHistory?: number } = {}): Promise<MailboxWorld> {
  const world = await MaildirWorld.make(options.maxExpungeHistory === undefined ? {} : { maxExpungeHistory: options.maxExpungeHistory });
  const others = Array.from({ length: processes - 1 }, () => world.newDriver());
  const drivers = [world.driver, ...others];
  const last = drivers.at(-1) ?? world.driver;
  const open: MailboxWorld['open'] = async (name, how) =>
    severalProcesses(await Promise.all(drivers.map((driver) => world.open(name, how, driver))));
  return {
    driver: world.driver,
    hasPeers: true,
    open,
    async create(name, how) {
      await world.create(name, how);
      return open(name, how);
    },
    delete: (name) => last.delete(world.paths(name), never),
    rename: (from, to) => last.rename(world.paths(from), world.paths(to), never),
    async [Symbol.asyncDispose]() {
      for (const driver of others) await driver.close();
      await world[Symbol.asyncDispose]();
    },
  };
}

mailboxContract(`Maildir, on ${processes} processes,`, makeWorld);
