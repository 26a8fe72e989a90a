// A connection that was handed to this process: of a class, as an accessor in a literal makes V8 keep each such object as a dictionary.
import type { Duplex } from 'node:stream';
import type { HandedConnection } from './role.js';

export class Handed implements HandedConnection {
  readonly stream: Duplex;
  readonly request: HandedConnection['request'];
  readonly release: () => void;

  constructor(stream: Duplex, request: HandedConnection['request'], release: () => void) {
    this.stream = stream;
    this.request = request;
    this.release = release;
  }

  get writableLength(): number {
    return this.stream.writableLength;
  }
}
