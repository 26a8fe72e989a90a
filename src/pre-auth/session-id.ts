// Session ids as Dovecot makes them: 48 bits of microseconds, port and address of the client, in base64. Unique on this machine without asking
// anybody: one client cannot come twice from the same port in one microsecond.
import { isIPv4, isIPv6 } from 'node:net';

const idMicros = 2 ** 48;

/** @param nowMicros microseconds since the epoch */
export function makeSessionId(remoteIp: string, remotePort: number, nowMicros: number): string {
  const address = addressOctets(remoteIp);
  const octets = Buffer.allocUnsafe(8 + address.length);
  octets.writeUIntLE(nowMicros % idMicros, 0, 6);
  octets.writeUInt16LE(remotePort & 0xffff, 6);
  address.copy(octets, 8);
  const text = octets.toString('base64');
  const padding = text.indexOf('=');
  return padding < 0 ? text : text.slice(0, padding);
}

function addressOctets(ip: string): Buffer {
  if (isIPv4(ip)) return ipv4Octets(ip);
  if (!isIPv6(ip)) return Buffer.alloc(0);
  const [head = '', tail] = ip.replace(/%.*$/, '').split('::');
  const parts = (text: string): string[] => (text === '' ? [] : text.split(':'));
  const before = parts(head);
  const after = tail === undefined ? [] : parts(tail);
  const groups = [...before, ...Array<string>(Math.max(0, 8 - before.length - after.length)).fill('0'), ...after];
  const octets = Buffer.alloc(16);
  groups.slice(0, 8).forEach((group, index) => {
    octets.writeUInt16BE(Number.parseInt(group, 16) & 0xffff || 0, index * 2);
  });
  return octets;
}

function ipv4Octets(ip: string): Buffer {
  const octets = Buffer.allocUnsafe(4);
  for (let at = 0, index = 0; index < 4; index += 1) {
    const dot = ip.indexOf('.', at);
    octets[index] = Number(dot < 0 ? ip.slice(at) : ip.slice(at, dot));
    at = dot + 1;
  }
  return octets;
}
