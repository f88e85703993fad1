import { createReadStream } from 'node:fs';
import { isIPv4 } from 'node:net';
import { endianness } from 'node:os';

/*
 * Linux shows every TCP connection of the network namespace in /proc/net/tcp (IPv4) and /proc/net/tcp6 (proc(5)):
 *
 *   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer rto ...
 *    1: 0100007F:0BB8 0100007F:D1F6 01 0000000C:00000000 01:0000014A 00000004     0        0 78661 1 00000000 163 ...
 *
 * tx_queue is what the peer has not acknowledged. A running timer 01 with retransmissions means that it acknowledges nothing; an alive but
 * slow one has timer 04 (its window is closed, and it answers the probes), or 00.
 */
const TABLES = ['/proc/net/tcp', '/proc/net/tcp6'];

/** USER_HZ, in which the kernel shows times: 100 on every architecture that Node runs on. */
const TICK_MS = 10;

const ESTABLISHED = '01';
const CLOSE_WAIT = '08';
const RETRANSMITTING = '01';

/** The two ends of a TCP connection, as `net.Socket` names them. */
export interface TcpEndpoints {
  readonly localAddress: string;
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
}

/** What the kernel knows of a connection. */
export interface TcpSocket {
  /** The peer has sent its FIN. */
  readonly hasLeft: boolean;
  /** How often the oldest unacknowledged segment was sent again; 0 while the peer acknowledges. */
  readonly retransmits: number;
  readonly unacknowledgedBytes: number;
  /** For at least how many milliseconds that segment has been unacknowledged; 0 while the peer acknowledges. */
  readonly silentMs: number;
}

/** The connections of the network namespace that matter, by {@link tcpKey}. */
export type TcpSockets = ReadonlyMap<string, TcpSocket>;

/** Which lines of the tables are wanted: all of silent peers, and of peers that have left; or those with these keys. */
export type Wanted = 'silent' | ReadonlySet<string>;

/** Of an attempt to read the tables: they are not there, or not for us, and will not be. */
export function isPermanent(error: unknown): boolean {
  return ['ENOENT', 'EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '');
}

/** Reads the tables, in small pieces, off the event loop. Rejects where there are none, or when they cannot be read now. */
export type ReadTcpTables = (wanted: Wanted) => Promise<TcpSockets>;

export const readTcpTables: ReadTcpTables = async (wanted) => {
  const sockets = new Map<string, TcpSocket>();
  const missing: unknown[] = [];
  for (const table of TABLES) {
    try {
      await readTable(table, wanted, sockets);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      missing.push(error);
    }
  }
  // one may be: without IPv6 there is no tcp6
  if (missing.length === TABLES.length) throw missing[0];
  return sockets;
};

async function readTable(table: string, wanted: Wanted, sockets: Map<string, TcpSocket>): Promise<void> {
  let rest = '';
  for await (const chunk of createReadStream(table, { encoding: 'latin1' }) as AsyncIterable<string>) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) readLine(line, wanted, sockets);
  }
}

/** Notes the connection of a line of the table if it is wanted. */
export function readLine(line: string, wanted: Wanted, sockets: Map<string, TcpSocket>): void {
  const columns = line.trim().split(/\s+/);
  const [, local, remote, state, queues = '', timer = '', retransmitted = ''] = columns;
  if (state !== ESTABLISHED && state !== CLOSE_WAIT) return;
  const hasLeft = state === CLOSE_WAIT;
  const [kind, when = ''] = timer.split(':');
  const retransmits = kind === RETRANSMITTING ? parseInt(retransmitted, 16) : 0;
  const key = `${local} ${remote}`;
  if (wanted === 'silent' ? !hasLeft && retransmits === 0 : !wanted.has(key)) return;
  sockets.set(key, {
    hasLeft,
    retransmits,
    unacknowledgedBytes: parseInt(queues, 16),
    silentMs: retransmits === 0 ? 0 : silentMs(Number(columns[12]) * TICK_MS, parseInt(when, 16) * TICK_MS, retransmits),
  });
}

/**
 * For how long at least the oldest segment has been out. The retransmission timeout doubles each time (RFC 6298, section 5.5): with `n`
 * retransmissions and now at `rto` it was `rto / 2^n` at first, so `rto - rto / 2^n` had passed when the last was sent, `rto - when` ago.
 */
function silentMs(rto: number, when: number, retransmits: number): number {
  return Math.max(0, rto - rto / 2 ** retransmits + rto - when);
}

/** A connection as the kernel's tables name it. */
export function tcpKey({ localAddress, localPort, remoteAddress, remotePort }: TcpEndpoints): string {
  return `${addressHex(localAddress)}:${portHex(localPort)} ${addressHex(remoteAddress)}:${portHex(remotePort)}`;
}

/** The peer's port in a {@link tcpKey}. */
export function remotePortOf(key: string): number {
  return parseInt(key.slice(key.lastIndexOf(':') + 1), 16);
}

function portHex(port: number): string {
  return port.toString(16).toUpperCase().padStart(4, '0');
}

/** The kernel prints an address as 32-bit words in the byte order of the machine. */
function addressHex(address: string): string {
  const bytes = Buffer.from(isIPv4(address) ? ipv4Bytes(address) : ipv6Bytes(address));
  return (endianness() === 'LE' ? bytes.swap32() : bytes).toString('hex').toUpperCase();
}

function ipv4Bytes(address: string): number[] {
  return address.split('.').map(Number);
}

/** As `getpeername` shows it: canonical, an IPv4 part at its end perhaps, a zone perhaps. */
function ipv6Bytes(address: string): number[] {
  const [head = '', tail] = address.replace(/%.*$/, '').split('::');
  const before = groupBytes(head);
  const after = groupBytes(tail ?? '');
  return [...before, ...new Array<number>(16 - before.length - after.length).fill(0), ...after];
}

function groupBytes(groups: string): number[] {
  if (groups === '') return [];
  return groups
    .split(':')
    .flatMap((group) => (group.includes('.') ? ipv4Bytes(group) : [parseInt(group, 16) >> 8, parseInt(group, 16) & 255]));
}
