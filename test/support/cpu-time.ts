/** CPU time that this process has taken, ms: tells of a slow algorithm, where a clock tells of a busy machine. */
export function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
