// From passdb and userdb blocks to databases. Every problem is found at start and names file and line.
import type { Section } from '#config/settings-source.js';
import type { DatabaseRules, Passdb, PassdbEntry, ResultRule, Userdb, UserdbEntry } from './database.js';
import { parseFieldList } from './field-list.js';
import { passwdFilePassdb } from './passdb/passwd-file.js';
import { staticPassdb } from './passdb/static.js';
import { type PasswdFileContext, parsePasswdFileArgs } from './passwd-file-lookup.js';
import { isKnownScheme } from './password-scheme.js';
import type { AuthState } from './request.js';
import { passwdUserdb } from './userdb/passwd.js';
import { passwdFileUserdb } from './userdb/passwd-file.js';
import { prefetchUserdb } from './userdb/prefetch.js';
import { staticUserdb } from './userdb/static.js';

/** Drivers of Dovecot that are known by name and do not exist here yet. */
const laterPassdbs = new Set([
  'sql',
  'ldap',
  'pam',
  'shadow',
  'passwd',
  'bsdauth',
  'checkpassword',
  'dict',
  'lua',
  'imap',
  'oauth2',
  'vpopmail',
]);
const laterUserdbs = new Set(['sql', 'ldap', 'dict', 'lua', 'checkpassword', 'nss', 'vpopmail']);

export interface DatabaseContext extends PasswdFileContext {
  readonly passwdPath: string;
  readonly uidRange: readonly [first: number, last: number];
  readonly existsInPassdb: (state: AuthState) => Promise<'yes' | 'no' | 'unsure'>;
}

export interface BuiltDatabases {
  readonly passdbs: readonly PassdbEntry[];
  readonly userdbs: readonly UserdbEntry[];
  /** Each `file:line: text`; not empty: the role must not start. */
  readonly problems: readonly string[];
}

export function buildDatabases(passdbs: readonly Section[], userdbs: readonly Section[], context: DatabaseContext): BuiltDatabases {
  const problems: string[] = [];
  const attempt = <Entry>(section: Section, make: () => Entry): readonly Entry[] => {
    try {
      return [make()];
    } catch (error) {
      problems.push(`${section.where}: ${error instanceof Error ? error.message : String(error)}`);
      return [];
    }
  };
  const passdbEntries = passdbs.flatMap((section, index) =>
    attempt(section, () => {
      const rules = readRules(section, index + 1);
      return { rules, database: makePassdb(rules, context) };
    }),
  );
  const userdbEntries = userdbs.flatMap((section, index) =>
    attempt(section, () => {
      const rules = readRules(section, index + 1);
      return { rules, database: makeUserdb(rules, context) };
    }),
  );
  return { passdbs: passdbEntries, userdbs: userdbEntries, problems };
}

function makePassdb({ driver, args }: DatabaseRules, context: DatabaseContext): Passdb {
  switch (driver) {
    case 'passwd-file': {
      const parsed = parsePasswdFileArgs(args);
      if (!isKnownScheme(parsed.scheme.split('.')[0] ?? '')) throw new Error(`passwd-file: Unknown password scheme ${parsed.scheme}`);
      return passwdFilePassdb(parsed, context);
    }
    case 'static':
      return staticPassdb(args, context.expand);
    default:
      throw unknownDriver('passdb', driver, laterPassdbs);
  }
}

function makeUserdb({ driver, args }: DatabaseRules, context: DatabaseContext): Userdb {
  switch (driver) {
    case 'passwd-file':
      return passwdFileUserdb(parsePasswdFileArgs(args), context);
    case 'passwd':
      return passwdUserdb(context.passwdPath, context.files, context.uidRange);
    case 'static':
      return staticUserdb(args, context);
    case 'prefetch':
      return prefetchUserdb();
    default:
      throw unknownDriver('userdb', driver, laterUserdbs);
  }
}

function unknownDriver(kind: string, driver: string, later: ReadonlySet<string>): Error {
  if (driver === '') return new Error(`${kind} is missing driver`);
  return new Error(later.has(driver) ? `${kind} driver ${driver} is not implemented yet` : `Unknown ${kind} driver ${driver}`);
}

const resultRules: readonly ResultRule[] = ['return', 'return-ok', 'return-fail', 'continue', 'continue-ok', 'continue-fail'];

function readRules(section: Section, id: number): DatabaseRules {
  const { values } = section;
  const text = (key: string): string => values[key] ?? '';
  const flag = (key: string): boolean => /^(?:yes|y|1)$/i.test(text(key));
  const rule = (key: string, usual: ResultRule): ResultRule => {
    const found = text(key) === '' ? usual : resultRules.find((known) => known === text(key));
    if (!found) throw new Error(`Invalid ${key}: ${text(key)}`);
    return found;
  };
  const words = (key: string): readonly string[] =>
    text(key)
      .split(/[\s,]+/)
      .filter((word) => word !== '');
  const success = rule('result_success', 'return-ok');
  return {
    id,
    // 2.4 blocks are named and take the driver from the name.
    driver: text('driver') || section.name,
    args: text('args'),
    defaultFields: parseFieldList(text('default_fields')),
    overrideFields: parseFieldList(text('override_fields')),
    resultSuccess: flag('pass') ? 'continue' : success,
    resultFailure: rule('result_failure', 'continue'),
    resultInternalFail: rule('result_internalfail', 'continue'),
    skip: text('skip') || 'never',
    mechanisms: words('mechanisms').map((name) => name.toUpperCase()),
    usernameFilter: words('username_filter'),
    isDeny: flag('deny'),
    isMaster: flag('master'),
    where: section.where,
  };
}
