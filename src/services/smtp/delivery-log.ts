// deliver_log_format: the text of a delivery's log line.
import type { HeaderFacts } from '#delivery/header-facts.js';

export interface DeliveryFacts {
  readonly headers: Pick<HeaderFacts, 'field'>;
  readonly receivedBytes: number;
  /** Of the envelope. */
  readonly sender: string;
  readonly result: string;
}

export type DeliveryText = (facts: DeliveryFacts) => string;

const values: ReadonlyMap<string, DeliveryText> = new Map<string, DeliveryText>([
  ['$', ({ result }) => result],
  ['m', ({ headers }) => headers.field('message-id')],
  ['f', ({ headers }) => headers.field('from')],
  ['s', ({ headers }) => headers.field('subject')],
  ['p', ({ receivedBytes }) => String(receivedBytes)],
  ['w', ({ receivedBytes }) => String(receivedBytes)],
  ['e', ({ sender }) => sender],
]);

/** Compiles the format once; only the fields that it names are looked for. What is no variable stays as it is. */
export function deliveryText(format: string): DeliveryText {
  const parts = format.split(/(%[$mfspwe])/).map((part) => (part.startsWith('%') ? values.get(part.slice(1)) : undefined) ?? part);
  return (facts) => {
    let text = '';
    for (const part of parts) text += typeof part === 'string' ? part : part(facts);
    return text;
  };
}
