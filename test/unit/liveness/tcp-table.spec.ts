import { once } from 'node:events';
import { type AddressInfo, type Socket, connect, createServer } from 'node:net';
import { describe, expect, it } from '@jest/globals';
import { type TcpEndpoints, type TcpSocket, type Wanted, readLine, readTcpTables, tcpKey } from '../../../lib/liveness/tcp-table.js';
import { eventually } from '../../support/eventually.js';

/** A line of /proc/net/tcp of a server on 10.213.7.1:4567. */
function line({ state = '01', queue = '0000000A', timer = '01:00000070', retransmits = '00000003', rto = 163 } = {}): string {
  return `   7: 01D50A0A:11D7 02D50A0A:C35A ${state} ${queue}:00000000 ${timer} ${retransmits}     0        0 78661 2 00000000e85ca2c1 ${rto} 4 30 10 -1`;
}

function read(text: string, wanted: Wanted = 'silent'): TcpSocket[] {
  const sockets = new Map<string, TcpSocket>();
  readLine(text, wanted, sockets);
  return [...sockets.values()];
}

describe("the kernel's table of TCP connections", () => {
  it('has what a peer has not acknowledged, how often it was sent again, and for how long that has been going on', () => {
    // 1,630 ms is the fourth timeout: 204 + 408 + 815 had passed before it began, 1,120 ms are left of it
    expect(read(line())).toEqual([{ hasLeft: false, retransmits: 3, unacknowledgedBytes: 10, silentMs: 1_630 * (1 - 1 / 8) + 510 }]);
  });

  it.each([
    ['nothing is unacknowledged', line({ timer: '00:00000000', retransmits: '00000000', queue: '00000000' })],
    ['something is under way for the first time', line({ retransmits: '00000000' })],
    ['it is alive but slow: its window is closed', line({ timer: '04:00000070', retransmits: '00000000' })],
    ['keepalive waits', line({ timer: '02:00000070', retransmits: '00000000' })],
    ['it listens', line({ state: '0A' })],
    ['it is the head of the table', '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode'],
    ['it is empty', ''],
  ])('says of no silence when %s', (_what, text) => {
    expect(read(text)).toEqual([]);
  });

  it('has a connection that is asked for, whatever it does', () => {
    const key = '01D50A0A:11D7 02D50A0A:C35A';
    const slow = line({ timer: '04:00000070', retransmits: '00000000' });
    expect(read(slow, new Set([key]))).toEqual([{ hasLeft: false, retransmits: 0, unacknowledgedBytes: 10, silentMs: 0 }]);
    expect(read(slow, new Set(['another']))).toEqual([]);
    // of a closed window the kernel counts the probes there, and they are answered
    expect(read(line({ timer: '04:00000070', retransmits: '00000002' }), new Set([key]))).toMatchObject([{ retransmits: 0, silentMs: 0 }]);
  });

  it('shows a peer that has sent its FIN', () => {
    expect(read(line({ state: '08', timer: '00:00000000', retransmits: '00000000' }))).toMatchObject([{ hasLeft: true }]);
  });

  it.each<[string, TcpEndpoints, string]>([
    ['IPv4', endpoints('10.213.7.1', '10.213.7.2'), '0107D50A:11D7 0207D50A:C35A'],
    ['IPv6', endpoints('::1', 'fe80::1c2:3%eth0'), '00000000000000000000000001000000:11D7 000080FE00000000000000000300C201:C35A'],
    [
      'IPv6 in full',
      endpoints('2001:db8:1:2:3:4:5:6', '2001:db8::1'),
      'B80D0120020001000400030006000500:11D7 B80D0120000000000000000001000000:C35A',
    ],
    [
      'IPv4 in IPv6',
      endpoints('::ffff:127.0.0.1', '::ffff:10.0.0.1'),
      '0000000000000000FFFF00000100007F:11D7 0000000000000000FFFF00000100000A:C35A',
    ],
  ])('names a connection over %s', (_what, given, key) => {
    expect(tcpKey(given)).toBe(key);
  });

  it.each(['127.0.0.1', '::1', '::'])('names the connections of a server on %s as Node does', async (host) => {
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }).listen(0, host);
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const client = connect({ port, host: host === '::' ? '127.0.0.1' : host });
    const [socket] = (await once(server, 'connection')) as [Socket];
    // it has left, and nobody reads that it has: of all that is to be seen there the quickest to make
    client.end();
    await eventually(async () => expect([...(await readTcpTables('silent')).keys()]).toContain(tcpKey(socket as unknown as TcpEndpoints)));
    client.destroy();
    socket.destroy();
    server.close();
  });
});

function endpoints(localAddress: string, remoteAddress: string): TcpEndpoints {
  return { localAddress, localPort: 4567, remoteAddress, remotePort: 0xc35a };
}
