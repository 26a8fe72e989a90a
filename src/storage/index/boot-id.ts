import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';

let cached: Buffer | undefined;

/** 16 octets that are the same until the machine restarts; random where the system does not tell. */
export function bootId(): Buffer {
  cached ??= readBootId();
  return cached;
}

function readBootId(): Buffer {
  try {
    const id = Buffer.from(readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').replace(/[^0-9a-f]/g, ''), 'hex');
    if (id.length === 16) return id;
  } catch {
    // Not Linux, or /proc is hidden: every start counts as a restart, which costs a compaction.
  }
  return randomBytes(16);
}
