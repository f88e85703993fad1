import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { expect, it, jest } from '@jest/globals';
import { Controller, type INestApplication, Res } from '@nestjs/common';
import { CurrentSession, ManagedSse, SseSession, SseSessionModule, type SseSource, sseEvent } from 'nestjs-sse-session';
import type { FastifyInstance } from 'fastify';
import { NEVER, Subject } from 'rxjs';
import { describeEachAdapter } from '../support/apps.js';
import { eventually } from '../support/eventually.js';
import { type RawClient, connect } from '../support/raw-client.js';

/*
 * Events go past Node's response, straight to the socket (lib/connection/chunked-write.ts), where nobody can tell. These are the cases in which
 * somebody could.
 */

const shared = new Subject<unknown>();
let response: ServerResponse;
let current: SseSession;

@Controller()
class StreamController {
  @ManagedSse('shared')
  shared(): SseSource {
    return shared;
  }

  @ManagedSse('own')
  own(@CurrentSession() session: SseSession, @Res() reply: ServerResponse & { raw?: ServerResponse }): SseSource {
    current = session;
    response = reply.raw ?? reply;
    return NEVER;
  }
}

const REQUEST = { Accept: 'text/event-stream' };
const blocks = (client: RawClient): string[] => client.body.split('\n\n').slice(0, -1);

describeEachAdapter('Events that go straight to the socket', ({ startApp, adapter }) => {
  async function start(onResponse: (raw: ServerResponse) => void = () => undefined): Promise<number> {
    const { port } = await startApp({
      imports: [SseSessionModule.forRoot({ retryMs: false, heartbeat: false })],
      controllers: [StreamController],
      configure: async (app: INestApplication) => {
        if (adapter === 'express') {
          app.use((_: unknown, raw: ServerResponse, next: () => void) => {
            onResponse(raw);
            next();
          });
        } else {
          const fastify = app.getHttpAdapter().getInstance() as FastifyInstance;
          fastify.addHook('onRequest', async (_, reply) => onResponse(reply.raw));
        }
      },
    });
    return port;
  }

  it.each<[string, unknown[]]>([
    ['short text', ['a']],
    ['many in one turn', Array.from({ length: 50 }, (_, n) => `event ${n}`)],
    ['text that is no ASCII', ['Grüße aus 東京 🎉', { text: 'ü' }]],
    ['what is in Latin-1, and no ASCII', ['é'.repeat(300)]],
    ['an event of 5 KB', [sseEvent({ data: 'ß'.repeat(2_500) })]],
    ['an event of 300 KB among others', ['before', sseEvent({ data: 'ü'.repeat(150_000) }), 'after']],
    ['an event of 300 KB that is not shared', [`${'x'.repeat(299_999)}y`]],
  ])('arrive whole at every session, in order: %s', async (_, values) => {
    const port = await start();
    const clients = await Promise.all([1, 2, 3].map(async () => (await connect(port)).request('GET', '/shared', REQUEST)));
    for (const client of clients) await client.head();
    await eventually(() => expect(shared.observed).toBe(true));
    for (const value of values) shared.next(value);
    shared.next('last');
    for (const client of clients) {
      await client.waitFor('data: last\n\n');
      expect(blocks(client)).toEqual([...values.map(text), 'last'].map((data) => `data: ${data}`));
    }
  });

  it('arrive whole when they are shared, a turn for each', async () => {
    const port = await start();
    const clients = await Promise.all([1, 2, 3].map(async () => (await connect(port)).request('GET', '/shared', REQUEST)));
    for (const client of clients) await client.head();
    for (const data of ['a', 'bb', 'ccc', 'a']) {
      shared.next(sseEvent({ data }));
      await new Promise((resolve) => setImmediate(resolve));
    }
    for (const client of clients) {
      await client.waitFor('ccc\n\ndata: a\n\n');
      expect(blocks(client)).toEqual(['data: a', 'data: bb', 'data: ccc', 'data: a']);
    }
  });

  it('are one write of the socket each, which Node would make four of', async () => {
    const port = await start();
    const client = (await connect(port)).request('GET', '/own', REQUEST);
    await client.head();
    const { socket } = response;
    const write = jest.spyOn(socket as Socket, 'write');
    for (const data of ['one', 'zwei ü', sseEvent({ data: 'three' })]) {
      current.send(data);
      await current.flushed();
    }
    expect(write.mock.calls.map(([chunk]) => String(chunk))).toEqual([
      'b\r\ndata: one\n\n\r\n',
      'f\r\ndata: zwei ü\n\n\r\n',
      'd\r\ndata: three\n\n\r\n',
    ]);
  });

  it('leave no more listeners than two for the end and one for errors, and none for a drain that nobody waits for', async () => {
    const before: number[] = [];
    const count = (raw: ServerResponse): number[] => [
      ...['close', 'error', 'drain', 'finish'].map((event) => raw.listenerCount(event)),
      raw.req.listenerCount('close'),
      ...['close', 'error', 'drain'].map((event) => (raw.socket as Socket).listenerCount(event)),
    ];
    const port = await start((raw) => before.push(...count(raw)));
    const client = (await connect(port)).request('GET', '/own', REQUEST);
    await client.head();
    current.send('one');
    await client.waitFor('one');
    const added = count(response).map((listeners, n) => listeners - (before[n] as number));
    expect(added).toEqual([1, 1, 0, 0, 1, 0, 0, 0]);
  });

  it('have no framing over HTTP/1.0', async () => {
    const port = await start();
    const client = await connect(port);
    client.write('GET /own HTTP/1.0\r\nAccept: text/event-stream\r\n\r\n');
    await client.head();
    current.send('one');
    current.send('zwei ü');
    current.complete();
    await client.closed;
    expect(client.received.split('\r\n\r\n')[1]).toBe(Buffer.from('data: one\n\ndata: zwei ü\n\n').toString('latin1'));
  });

  it('go through a write() that middleware has put on the response', async () => {
    const written: string[] = [];
    const port = await start((raw) => {
      const write = raw.write.bind(raw) as (chunk: unknown, ...rest: unknown[]) => boolean;
      raw.write = ((chunk: unknown, ...rest: unknown[]) => {
        written.push(String(chunk));
        return write(chunk, ...rest);
      }) as typeof raw.write;
    });
    const client = (await connect(port)).request('GET', '/own', REQUEST);
    await client.head();
    current.send('seen');
    await client.waitFor('data: seen\n\n');
    expect(written.join('')).toBe('data: seen\n\n');
  });

  it('reach such a write() as text, also when they are shared, so that none can change what others get', async () => {
    const written: unknown[] = [];
    const port = await start((raw) => {
      const write = raw.write.bind(raw) as (chunk: unknown) => boolean;
      raw.write = ((chunk: unknown) => {
        written.push(chunk);
        return write(chunk);
      }) as typeof raw.write;
    });
    const clients = await Promise.all([1, 2].map(async () => (await connect(port)).request('GET', '/shared', REQUEST)));
    for (const client of clients) await client.head();
    shared.next(sseEvent({ data: 'ü' }));
    for (const client of clients) await client.waitFor('data: ü\n\n');
    expect(written).toEqual(['data: ü\n\n', 'data: ü\n\n']);
  });

  it('wait for the drain of such a write() with one listener, however often', async () => {
    const elsewhere = new EventEmitter();
    const port = await start((raw) => {
      const on = raw.on.bind(raw);
      raw.on = ((event: string, listener: () => void) =>
        event === 'drain' ? elsewhere.on(event, listener) : on(event, listener)) as never;
      const write = raw.write.bind(raw) as (chunk: unknown) => boolean;
      raw.write = ((chunk: unknown) => {
        write(chunk);
        setImmediate(() => elsewhere.emit('drain'));
        return false;
      }) as typeof raw.write;
    });
    const client = (await connect(port)).request('GET', '/own', REQUEST);
    await client.head();
    for (let n = 0; n < 20; n++) {
      current.send(`event ${n}`);
      await client.waitFor(`data: event ${n}\n\n`);
    }
    expect(elsewhere.listenerCount('drain')).toBe(1);
  });

  it('have their headers where middleware replaces writeHead() and passes on the status alone', async () => {
    const seen: unknown[] = [];
    const port = await start((raw) => {
      const writeHead = raw.writeHead.bind(raw);
      raw.writeHead = (status: number) => {
        seen.push(raw.getHeader('Content-Type'));
        return writeHead(status);
      };
    });
    const client = (await connect(port)).request('GET', '/own', REQUEST);
    const { headers } = await client.head();
    expect(seen).toEqual(['text/event-stream']);
    expect(headers).toMatchObject({ 'content-type': 'text/event-stream', 'cache-control': 'no-cache, no-transform' });
  });

  it('stand in order with what the handler itself writes', async () => {
    const port = await start();
    const client = (await connect(port)).request('GET', '/own', REQUEST);
    await client.head();
    for (let n = 0; n < 5; n++) {
      response.write(`: own ${n}\n`);
      current.send(`event ${n}`);
      await current.flushed();
    }
    await client.waitFor('data: event 4\n\n');
    expect(client.body).toBe([0, 1, 2, 3, 4].map((n) => `: own ${n}\ndata: event ${n}\n\n`).join(''));
  });

  it('are not written behind the end of a response that somebody else has ended, whose connection serves on', async () => {
    const port = await start();
    const client = (await connect(port)).request('GET', '/own', REQUEST);
    await client.head();
    current.send('before');
    await client.waitFor('before');
    const ended = current;
    response.end();
    ended.send('after');
    await client.waitFor(() => client.response?.complete === true);
    await eventually(() => expect(ended.state).toBe('closed'));
    expect(client.received.endsWith('data: before\n\n\r\n0\r\n\r\n')).toBe(true);
    client.request('GET', '/own', REQUEST);
    await client.head();
    current.send('second');
    await client.waitFor('data: second\n\n');
  });

  it('are not written to a socket that somebody else has ended', async () => {
    const port = await start();
    const client = (await connect(port)).request('GET', '/own', REQUEST);
    await client.head();
    const ended = current;
    (response.socket as Socket).end();
    ended.send('after');
    await eventually(() => expect(ended.state).toBe('closed'));
    expect(ended.error).toBeUndefined();
  });

  it('wait for a client that does not read, and go on when it does', async () => {
    const port = await start();
    const client = (await connect(port)).request('GET', '/own', REQUEST);
    await client.head();
    client.pause();
    let sent = 0;
    // a turn for each, so that the kernel is full before the buffer of the session is
    for (; current.pendingBytes < 200_000; sent++) {
      current.send(`${sent} ${'x'.repeat(50_000)}`);
      await new Promise((resolve) => setImmediate(resolve));
    }
    current.send('last');
    client.resume();
    await client.waitFor('data: last\n\n', 10_000);
    expect(blocks(client).map((block) => block.slice(0, 20).split(' ')[1])).toEqual([...Array(sent).keys()].map(String).concat('last'));
  });
});

function text(value: unknown): string {
  if (typeof value === 'string') return value;
  return (value as { data?: string }).data ?? JSON.stringify(value);
}
