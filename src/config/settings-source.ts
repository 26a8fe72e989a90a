// What a child process receives of the configuration, as plain JSON, and how it reads it.
import type { SettingsGroup, SettingsOf } from './define.js';

/** A named or unnamed block (`passdb { driver = passwd-file ... }`), its values still text with `<file` and `$var` already replaced. */
export interface Section {
  /** `passdb`, `namespace`, `mailbox`, `plugin`, ... */
  readonly kind: string;
  /** `inbox` in `namespace inbox {`; '' when unnamed. */
  readonly name: string;
  readonly values: Readonly<Record<string, string>>;
  readonly sections: readonly Section[];
  /** `file:line` of the opening line, for messages. */
  readonly where: string;
}

/** Facts of a connection that `local`, `local_name`, `remote` blocks match on. */
export interface ConnectionFacts {
  /** Only for processes that serve several protocols (auth): which `protocol` blocks apply. */
  readonly protocol?: string;
  readonly localIp?: string;
  readonly remoteIp?: string;
  readonly localName?: string;
}

/** Resolved settings for one service (its `protocol` filter already applied). */
export interface SettingsSource {
  /** Typed values of a group; throws when the group was not among those sent to this process. */
  get<Group extends SettingsGroup>(group: Group): SettingsOf<Group>;
  /** The same with `local`/`remote` blocks applied for this connection; the same object for the same matching blocks. */
  forConnection(facts: ConnectionFacts): SettingsSource;
  /** There are `local_name` blocks: what holds for a connection may depend on `localName`. */
  readonly hasLocalNames: boolean;
  /** All blocks of a kind at top level, in file order. */
  sections(kind: string): readonly Section[];
  /** `plugin { key = value }`, merged; undefined when not set. */
  plugin(key: string): string | undefined;
}
