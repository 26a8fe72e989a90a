// What the master and a template process say to each other, on the template's descriptor 3: requests as in fork-calls.ts one way, frames of
// frame.ts the other. A template is a process of a role that has loaded everything and serves nobody; copies of it do.

/** First argument of the role's program, the second being how many listeners it inherits. */
export const templateArgument = 'template';

/** What a request is about. */
export const templateRequest = {
  /** Make a copy. Descriptors: its control channel, its log, then what follows the listeners. The number is the master's, for the answer. */
  copy: 1,
  /** Close the listeners: no copies will be asked for. The template stays to see its copies end. */
  retire: 2,
  /** A copy seems to have ended: see to it. */
  reap: 3,
} as const;

export type TemplateMessage =
  | { readonly kind: 'ready' }
  | { readonly kind: 'copied'; readonly id: number; readonly pid: number }
  /** No copy could be made. */
  | { readonly kind: 'failed'; readonly id: number; readonly reason: string }
  | { readonly kind: 'ended'; readonly pid: number; readonly code: number | undefined; readonly signal: number | undefined };
