/** Every way to cut octets in two, and one octet at a time. */
export function* everySplit(octets: Buffer): Generator<readonly Buffer[]> {
  yield [octets];
  for (let at = 1; at < octets.length; at++) yield [octets.subarray(0, at), octets.subarray(at)];
  yield [...octets].map((octet) => Buffer.from([octet]));
}
