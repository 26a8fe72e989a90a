import { AdminError } from './exit-codes.js';

/** A search query that cannot be understood. */
export class QueryError extends AdminError {
  constructor(message: string) {
    super('data', message);
  }
}
