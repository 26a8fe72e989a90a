// What Node shows of a socket or a server on its handle only, without documenting it.

/** The handle of a stream or server of node:net or node:tls. @returns undefined after close, and where this Node keeps it elsewhere */
export function handleOf(owner: object): object | undefined {
  const handle: unknown = '_handle' in owner ? owner._handle : undefined;
  return typeof handle === 'object' && handle !== null ? handle : undefined;
}

/** The descriptor of what is open. */
export function handleDescriptor(owner: object): number | undefined {
  const handle = handleOf(owner);
  if (handle === undefined || !('fd' in handle)) return undefined;
  return typeof handle.fd === 'number' && handle.fd >= 0 ? handle.fd : undefined;
}
