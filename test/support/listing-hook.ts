// What happens to a folder while it is listed: a test runs something between the listing and the moment its reader gets it, or changes the listing.
import { createRequire, syncBuiltinESMExports } from 'node:module';

const require = createRequire(import.meta.url);

type Listed = (error: Error | null, names?: string[]) => void;
type Readdir = (path: string, options: unknown, listed: Listed) => void;

/** @returns the names the reader gets */
export type ListingHook = (path: string, names: string[]) => string[];

let hook: ListingHook | undefined;
let isInstalled = false;

/** Calls `work` for every listing until the next call; undefined ends it. */
export function onListing(work: ListingHook | undefined): void {
  hook = work;
  if (isInstalled) return;
  isInstalled = true;
  const fs = require('node:fs') as { readdir: Readdir };
  const original = fs.readdir;
  fs.readdir = (path, options, listed) =>
    original(path, options, (error, names) => {
      if (error === null && names !== undefined && hook !== undefined) listed(null, hook(path, names));
      else listed(error, names);
    });
  syncBuiltinESMExports();
}
