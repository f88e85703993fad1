import { describe, expect, it, jest } from '@jest/globals';
import { TcpLookUp } from '../../../lib/liveness/tcp-look-up.js';
import { type ReadTcpTables, type TcpSocket, tcpKey } from '../../../lib/liveness/tcp-table.js';

const endpoints = (remotePort: number) => ({ localAddress: '127.0.0.1', localPort: 80, remoteAddress: '127.0.0.1', remotePort });
const socket = (unacknowledgedBytes: number): TcpSocket => ({ hasLeft: false, retransmits: 0, unacknowledgedBytes, silentMs: 0 });

describe('TcpLookUp', () => {
  it('reads the tables once for all that are asked for at the same time', async () => {
    const read = jest.fn<ReadTcpTables>(
      async () =>
        new Map([
          [tcpKey(endpoints(1)), socket(1)],
          [tcpKey(endpoints(2)), socket(2)],
        ]),
    );
    const lookUp = new TcpLookUp(read);
    const found = await Promise.all([1, 2, 2, 3].map((port) => lookUp.find(endpoints(port))));
    expect(found.map((one) => one?.unacknowledgedBytes)).toEqual([1, 2, 2, undefined]);
    expect(read.mock.calls).toEqual([[new Set([1, 2, 3].map((port) => tcpKey(endpoints(port))))]]);
  });

  it('reads them anew for what is asked for while they are read', async () => {
    let bytes = 0;
    const read = jest.fn<ReadTcpTables>(async () => new Map([[tcpKey(endpoints(1)), socket(++bytes)]]));
    const lookUp = new TcpLookUp(read);
    const first = lookUp.find(endpoints(1));
    await new Promise((resolve) => setImmediate(resolve));
    const second = lookUp.find(endpoints(1));
    expect([(await first)?.unacknowledgedBytes, (await second)?.unacknowledgedBytes]).toEqual([1, 2]);
  });

  it('knows nothing where they cannot be read, and of what has no address', async () => {
    const lookUp = new TcpLookUp(() => Promise.reject(Object.assign(new Error('no table'), { code: 'ENOENT' })));
    expect(await lookUp.find(endpoints(1))).toBeUndefined();
    expect(await lookUp.find(undefined)).toBeUndefined();
    expect(await lookUp.find(endpoints(1))).toBeUndefined();
  });

  it('tries again when they cannot be read for a while: not to know is no answer', async () => {
    const read = jest.fn<ReadTcpTables>(async () => new Map([[tcpKey(endpoints(1)), socket(7)]]));
    read.mockRejectedValueOnce(Object.assign(new Error('no descriptor is free'), { code: 'EMFILE' }));
    expect(await new TcpLookUp(read).find(endpoints(1))).toMatchObject({ unacknowledgedBytes: 7 });
    expect(read).toHaveBeenCalledTimes(2);
  });
});
