// `local`, `local_name`, `remote`, `protocol` blocks: what they match and which of two wins.
import { type Network, networkContains, networkInside, parseAddress, parseNetwork } from './network.js';
import type { Place, ProblemList } from './problem.js';
import type { ConnectionFacts } from './settings-source.js';

/** Conditions of one block with those around it; all present ones must match. Plain data: it travels to child processes. */
export interface Filter {
  readonly local?: string;
  /** Host names separated by blanks; `*` stands for one label. */
  readonly localName?: string;
  readonly remote?: string;
  /** `imap`, or `!imap` for every other. */
  readonly protocol?: string;
}

/** The order in which they may be nested, outermost first. */
const nesting = ['local', 'local_name', 'remote', 'protocol'] as const;
type FilterKind = (typeof nesting)[number];
const members = { local: 'local', local_name: 'localName', remote: 'remote', protocol: 'protocol' } as const;

export function isFilterKind(type: string): type is FilterKind {
  return nesting.some((kind) => kind === type);
}

/** The filter of a block named `type` inside `outer`, or undefined after reporting why it cannot be there. */
export function nestFilter(outer: Filter, type: FilterKind, name: string, place: Place, problems: ProblemList): Filter | undefined {
  if (name === '') {
    problems.error(place, `${type} { is missing its name`, `write ${type} ${type === 'protocol' ? 'imap' : 'ADDRESS'} {`);
    return undefined;
  }
  const innermost = nesting.findLast((kind) => outer[members[kind]] !== undefined);
  if (innermost !== undefined) {
    if (innermost === type && (type === 'protocol' || type === 'local_name')) {
      problems.error(place, `Nested ${type} { ${type} { .. } } block not allowed`);
      return undefined;
    }
    if (nesting.indexOf(innermost) > nesting.indexOf(type)) {
      problems.error(place, `${innermost} { ${type} { .. } } not allowed (use ${type} { ${innermost} { .. } } instead)`);
      return undefined;
    }
  }
  if (type === 'local' || type === 'remote') {
    const inner = parseNetwork(name);
    if (inner === undefined) {
      problems.error(place, `Invalid network: ${name}`, 'write an IP address or network such as 10.0.0.0/8; names are not looked up');
      return undefined;
    }
    const around = outer[type] === undefined ? undefined : parseNetwork(outer[type]);
    if (around !== undefined && !networkInside(inner, around)) {
      problems.error(place, `${type} net1 { ${type} net2 { .. } } requires net2 to be inside net1`);
      return undefined;
    }
  }
  return { ...outer, [members[type]]: name };
}

export function isUnfiltered(filter: Filter): boolean {
  return nesting.every((kind) => filter[members[kind]] === undefined);
}

export function hasConnectionFilter(filter: Filter): boolean {
  return filter.local !== undefined || filter.localName !== undefined || filter.remote !== undefined;
}

export function sameFilter(a: Filter, b: Filter): boolean {
  return nesting.every((kind) => a[members[kind]] === b[members[kind]]);
}

export function protocolMatches(filter: Filter, protocol: string): boolean {
  if (filter.protocol === undefined) return true;
  return filter.protocol.startsWith('!') ? filter.protocol.slice(1) !== protocol : filter.protocol === protocol;
}

/** `*.example.org` matches one label in place of the star, in any case. */
export function hostNameMatches(patterns: string, name: string): boolean {
  const labels = name.toLowerCase().replace(/\.$/, '').split('.');
  return patterns
    .toLowerCase()
    .split(/\s+/)
    .some((pattern) => {
      const wanted = pattern.split('.');
      return wanted.length === labels.length && wanted.every((label, index) => label === '*' || label === labels[index]);
    });
}

/** Tests the connection part of a filter; the networks are parsed once. */
export function compileFilter(filter: Filter): (facts: ConnectionFacts) => boolean {
  const local = filter.local === undefined ? undefined : parseNetwork(filter.local);
  const remote = filter.remote === undefined ? undefined : parseNetwork(filter.remote);
  const inNetwork = (network: Network | undefined, ip: string | undefined): boolean => {
    if (network === undefined) return true;
    const octets = ip === undefined ? undefined : parseAddress(ip);
    return octets !== undefined && networkContains(network, octets);
  };
  return (facts) =>
    inNetwork(local, facts.localIp) &&
    inNetwork(remote, facts.remoteIp) &&
    (filter.localName === undefined || (facts.localName !== undefined && hostNameMatches(filter.localName, facts.localName))) &&
    (filter.protocol === undefined || (facts.protocol !== undefined && protocolMatches(filter, facts.protocol)));
}

/** Sorts least specific first, so that the last one to match wins: local_name, then local bits, remote bits, protocol. */
export function compareSpecificity(a: Filter, b: Filter): number {
  const weights = (filter: Filter): number[] => [
    filter.localName === undefined ? 0 : filter.localName.includes('*') ? 1 : 2,
    filter.local === undefined ? -1 : (parseNetwork(filter.local)?.bits ?? 0),
    filter.remote === undefined ? -1 : (parseNetwork(filter.remote)?.bits ?? 0),
    filter.protocol === undefined ? 0 : filter.protocol.startsWith('!') ? 1 : 2,
  ];
  const left = weights(a);
  const right = weights(b);
  for (const [index, weight] of left.entries()) {
    const difference = weight - (right[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** `local 10.0.0.0/8`, `protocol !imap`: the block headers that make up a filter, outermost first. */
export function filterHeaders(filter: Filter): readonly (readonly [kind: FilterKind, name: string])[] {
  return nesting.flatMap((kind) => {
    const name = filter[members[kind]];
    return name === undefined ? [] : [[kind, name] as const];
  });
}
