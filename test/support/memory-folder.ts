import { accessSync, constants } from 'node:fs';
import { tmpdir } from 'node:os';

const sharedMemory = '/dev/shm';

/** For tests that write thousands of files: in memory where the machine has such a file system. */
export function memoryFolder(): string {
  try {
    accessSync(sharedMemory, constants.W_OK);
    return sharedMemory;
  } catch {
    return tmpdir();
  }
}
