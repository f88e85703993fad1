import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { describe, expect, it } from '@jest/globals';
import { HttpResponse, type Http2Transport } from '../../../lib/connection/http-response.js';

const control = { applyHeaders: () => undefined, hijack: () => undefined, isAnswered: () => false };
const request = {} as IncomingMessage;

/** A response over HTTP/1.1 of whose bytes Node has handed `bytesWritten - writableLength` to the kernel. */
function overHttp1(socket: Partial<Socket>): HttpResponse {
  return new HttpResponse({ ...control, request, response: { socket } as ServerResponse });
}

function overHttp2(): HttpResponse {
  const transport = { socket: { bytesWritten: 5_000, writableLength: 0 } } as Http2Transport;
  return new HttpResponse({ ...control, request, response: { stream: {} } as unknown as ServerResponse }, transport);
}

describe('what a client has acknowledged', () => {
  it('over HTTP/1.1 is what the kernel was handed, without what it holds', () => {
    expect(overHttp1({ bytesWritten: 5_000, writableLength: 1_000 }).acknowledgedBytes(300)).toBe(3_700);
  });

  it('over HTTP/2 is more when the kernel holds less, and not known when it holds nothing: then one stream alone is held up', () => {
    const response = overHttp2();
    expect(response.acknowledgedBytes(300) as number).toBeGreaterThan(response.acknowledgedBytes(500) as number);
    expect(response.acknowledgedBytes(0)).toBeUndefined();
  });
});

describe('a response that is cut', () => {
  it('takes its socket with it when its destroy() has been replaced by one that throws', () => {
    let isDestroyed = false;
    const socket = { destroy: () => (isDestroyed = true) } as unknown as Socket;
    const destroy = (): never => {
      throw new Error('not ours');
    };
    new HttpResponse({ ...control, request, response: { socket, destroy, off: () => undefined } as unknown as ServerResponse }).destroy();
    expect(isDestroyed).toBe(true);
  });
});
