import { createReadStream } from 'node:fs';
import { expect, it } from '@jest/globals';
import { Controller, Logger } from '@nestjs/common';
import { CurrentSession, ManagedSse, SessionManager, SseSession, SseSessionModule } from 'nestjs-sse-session';
import { NEVER, throwError } from 'rxjs';
import { describeEachAdapter } from '../support/apps.js';
import { eventually } from '../support/eventually.js';
import { connect } from '../support/raw-client.js';

const revoked = (): object => {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
};

const ends: string[] = [];
const rejecting = (): never => Promise.reject(new Error('nobody awaits me')) as never;

/** An HTTP/2 request by hand (RFC 9113, section 3.4; RFC 7541, appendix A), as a client of Node's own can't be made to freeze. */
function frozenRequest(path: string): Buffer {
  const frame = (type: number, flags: number, stream: number, payload: Buffer): Buffer =>
    Buffer.concat([Buffer.from([0, 0, payload.length, type, flags, 0, 0, 0, stream]), payload]);
  const literal = (name: number[], value: string): Buffer => Buffer.concat([Buffer.from([...name, value.length]), Buffer.from(value)]);
  const GET_HTTP = Buffer.from([0x82, 0x86]);
  const headers = Buffer.concat([
    GET_HTTP,
    literal([0x04], path),
    literal([0x01], 'localhost'),
    literal([0x0f, 0x04], 'text/event-stream'),
  ]);
  const END_STREAM_AND_HEADERS = 0x05;
  return Buffer.concat([
    Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
    frame(4, 0, 0, Buffer.alloc(0)),
    frame(1, END_STREAM_AND_HEADERS, 1, headers),
  ]);
}

@Controller('h')
class HostileController {
  @ManagedSse('file')
  file(@CurrentSession() session: SseSession) {
    session.send('first');
    return createReadStream('/does/not/exist');
  }

  @ManagedSse('principal', { principal: rejecting })
  principal() {
    return NEVER;
  }

  @ManagedSse('promise')
  promise(@CurrentSession() session: SseSession) {
    session.send(rejecting());
  }

  @ManagedSse('revoked', { onCompletion: (_session, reason) => void ends.push(reason) })
  revoked(@CurrentSession() session: SseSession) {
    session.send('first');
    return throwError(revoked);
  }

  @ManagedSse('getter', { timeoutMs: 200, onCompletion: (_session, reason) => void ends.push(reason) })
  getter(@CurrentSession() session: SseSession) {
    session.send('first');
    const source = { [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => undefined) }) };
    return Object.defineProperty(source, 'controller', {
      get() {
        throw new Error('do not look');
      },
    }) as AsyncIterable<unknown>;
  }

  @ManagedSse('quiet')
  quiet() {
    return NEVER;
  }
}

describeEachAdapter('What a careless application hands over', ({ adapter, startApp }) => {
  const start = (options = {}) =>
    startApp({
      imports: [SseSessionModule.forRoot(options)],
      controllers: [HostileController],
      // what is logged of it would look like failures of the tests
      configure: (app) => app.useLogger(false),
    });

  it("a Readable that fails before it is read does not end the process, and is the session's error", async () => {
    const { port } = await start();
    const client = await connect(port);
    await client.request('GET', '/h/file').waitFor('event: error');
  });

  it.each(['principal', 'promise'])('a promise that rejects (%s) is refused, and its rejection is nobody’s surprise', async (route) => {
    const { url } = await start();
    expect((await fetch(`${url}/h/${route}`)).status).toBe(500);
  });

  it.each(['revoked', 'getter'])('an object that cannot be looked at (%s) ends its session once', async (route) => {
    ends.length = 0;
    const { url, app } = await start();
    await (await fetch(`${url}/h/${route}`)).text();
    await eventually(() => expect(app.get(SessionManager).size).toBe(0));
    expect(ends).toHaveLength(1);
  });

  it('a logger that throws keeps no session alive', async () => {
    ends.length = 0;
    const { url, app } = await start();
    Logger.overrideLogger({
      log: () => undefined,
      warn: () => undefined,
      error: () => {
        throw new Error('disk full');
      },
    });
    try {
      await fetch(`${url}/h/revoked`).then((response) => response.text());
      await eventually(() => expect(app.get(SessionManager).size).toBe(0));
      expect(ends).toEqual(['error']);
    } finally {
      Logger.overrideLogger(true);
    }
  });

  if (adapter === 'fastify') {
    it('an HTTP/2 peer that is frozen does not hold a shutdown beyond its timeout', async () => {
      const app = await startApp({
        imports: [SseSessionModule.forRoot({ shutdown: { timeoutMs: 300 } })],
        controllers: [HostileController],
        adapterOptions: { http2: true } as never,
      });
      const client = await connect(app.port);
      client.socket.write(frozenRequest('/h/quiet'));
      await eventually(() => expect(app.app.get(SessionManager).size).toBe(1));
      // from now on it neither reads nor answers
      client.pause();
      await app.close();
      expect(app.app.get(SessionManager).size).toBe(0);
    });
  }
});
