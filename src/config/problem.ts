// What is wrong in a configuration, collected instead of thrown so that one run reports everything.

/** Where a node of the configuration was read. Lines count from 1. */
export interface Place {
  readonly file: string;
  readonly line: number;
}

/** `error` keeps the server from starting, `warning` does not. */
export interface ConfigProblem {
  readonly severity: 'error' | 'warning';
  readonly message: string;
  readonly place?: Place | undefined;
  /** What to write instead, a sentence or a setting name in words. */
  readonly suggestion?: string | undefined;
}

/** Collects problems up to a limit, so that a file of rubbish cannot produce endless output. */
export class ProblemList {
  readonly all: ConfigProblem[] = [];
  readonly #limit: number;

  constructor(limit = 500) {
    this.#limit = limit;
  }

  error(place: Place | undefined, message: string, suggestion?: string): void {
    this.#add({ severity: 'error', message, place, suggestion });
  }

  warning(place: Place | undefined, message: string, suggestion?: string): void {
    this.#add({ severity: 'warning', message, place, suggestion });
  }

  get hasErrors(): boolean {
    return this.all.some(({ severity }) => severity === 'error');
  }

  #add(problem: ConfigProblem): void {
    if (this.all.length < this.#limit) this.all.push(problem);
    else if (this.all.length === this.#limit) {
      this.all.push({ severity: 'error', message: `More than ${this.#limit} problems, the rest is not shown` });
    }
  }
}

/** `file:line`, or '' for a problem of the whole configuration. */
export function placeText(place: Place | undefined): string {
  return place === undefined ? '' : `${place.file}:${place.line}`;
}

/** `FILE:LINE: message (suggestion)`, with `Warning: ` before the message where it is one. */
export function problemText(problem: ConfigProblem): string {
  const where = problem.place === undefined ? '' : `${placeText(problem.place)}: `;
  const level = problem.severity === 'warning' ? 'Warning: ' : '';
  const suggestion = problem.suggestion === undefined ? '' : ` (${problem.suggestion})`;
  return `${where}${level}${problem.message}${suggestion}`;
}
