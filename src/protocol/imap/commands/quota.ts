// GETQUOTA, GETQUOTAROOT, SETQUOTA (RFC 9208 4.1).
import type { CommandReader } from '../reader.js';

export interface QuotaRootName {
  /** Octets of the name. */
  readonly root: string;
}

export interface SetQuotaCommand extends QuotaRootName {
  readonly limits: readonly { readonly resource: string; readonly limit: number }[];
}

export function parseGetQuota(reader: CommandReader): QuotaRootName {
  reader.space();
  const root = reader.astring();
  reader.end();
  return { root };
}

export function parseSetQuota(reader: CommandReader): SetQuotaCommand {
  reader.space();
  const root = reader.astring();
  reader.space();
  const limits = reader.list(() => {
    const resource = reader.word('resource name');
    reader.space();
    return { resource, limit: reader.resourceLimit() };
  });
  reader.end();
  return { root, limits };
}
