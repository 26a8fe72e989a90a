// Numbers of Linux's C library that Node does not know, for the calls of handle-pass.ts and fork-calls.ts: the same in glibc and musl on the
// platforms that both name.
export const closeOnExec = 0o2000000;
export const levelSocket = 1;
export const typeRights = 1;
export const flagDontWait = 0x40;
export const flagNoSignal = 0x4000;
export const flagCmsgCloseOnExec = 0x40000000;
/** Where the layouts of messages are known: 64-bit, little-endian. */
export const knowsLayouts = process.platform === 'linux' && ['x64', 'arm64', 'riscv64', 'loong64'].includes(process.arch);
