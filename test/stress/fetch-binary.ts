// BINARY (RFC 3516): parts without their transfer encoding.
import { firstPartOf } from './messages.js';
import type { StressSession } from './session.js';

export async function fetchBinary(session: StressSession): Promise<void> {
  const { view } = session;
  if (view === undefined || !session.capabilities.has('BINARY')) return;
  await session.learnUids(view);
  if (!view.messages.some(({ uid }) => uid > 0)) return;
  const { uid, set } = session.some(view, true);
  const partial = session.options.random(3) === 0 ? '<3.20>' : '';
  await session.run(`${uid}FETCH ${set} (UID BINARY.SIZE[1] BINARY.PEEK[1]${partial})`);
  for (const { message, items } of view.fetched) {
    const { token } = view.ledger.facts(message.uid);
    if (message.uid === 0 || token === undefined) continue;
    const whole = firstPartOf(token);
    const content = partial === '' ? whole : whole.slice(3, 23);
    const size = items.get('BINARY.SIZE[1]');
    const told = items.get(partial === '' ? 'BINARY[1]' : 'BINARY[1]<3>');
    if (size !== undefined && size !== String(whole.length))
      session.fail(`BINARY.SIZE[1] of UID ${message.uid} is ${size}, not ${whole.length}`);
    if (told !== undefined && told !== content)
      session.fail(`BINARY[1] of UID ${message.uid} is not that of ${token}: ${String(told).slice(0, 200)}`);
  }
}
