// Runs a pre-login machine without sockets: every text it writes and everything it asks for, as lines.
import type { PreAuthMachine, PreAuthOffer, PreAuthStep } from '#pre-auth/machine.js';

export const openOffer: PreAuthOffer = {
  greeting: 'Roost ready.',
  mechanisms: [
    { name: 'PLAIN', isPlaintext: true },
    { name: 'SCRAM-SHA-256', isPlaintext: false },
  ],
  offersTls: true,
  isTls: false,
  allowsPlaintext: true,
  requiresTls: false,
  idReply: '("name" "Roost")',
};

/** Feeds the chunks; steps as text, one per entry. Stops at an end. */
export function runMachine(machine: PreAuthMachine, chunks: readonly (string | Buffer)[]): string[] {
  const seen: string[] = [];
  for (const chunk of chunks) {
    machine.push(Buffer.from(chunk));
    for (;;) {
      const step = machine.next();
      if (step.kind === 'wait') break;
      seen.push(describeStep(step));
      if (step.kind === 'end' || step.kind === 'logout') return seen;
    }
  }
  return seen;
}

function describeStep(step: Exclude<PreAuthStep, { kind: 'wait' }>): string {
  if (step.kind === 'auth')
    return `auth ${step.mechanism} ${step.initialResponse === undefined ? '-' : JSON.stringify(step.initialResponse.toString())}`;
  if (step.kind === 'response') return `response ${JSON.stringify(step.octets.toString())}`;
  return step.text;
}

/** The text cut in two at every place, and into single octets. */
export function everySplit(text: string): string[][] {
  const splits: string[][] = [];
  for (let at = 0; at <= text.length; at += 1) splits.push([text.slice(0, at), text.slice(at)]);
  splits.push([...text]);
  return splits;
}
