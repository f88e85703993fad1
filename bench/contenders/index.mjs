// Who is measured. A contender is { name, start() }, where start() gives { server, publish(event), tokens?(events per second) }: `publish` sends one
// event to every session that is open, as somebody who uses that library would do it.
import 'reflect-metadata';
import { createServer } from 'node:http';
import { Controller, Get, Module, Res, Sse } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { ManagedSse, SseSessionModule, sseEvent } from 'nestjs-sse-session';
import { Subject } from 'rxjs';
import { decorate } from './decorate.mjs';

const HEAD = { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache, no-transform', 'X-Accel-Buffering': 'no' };
const toBuffer = ({ data }) => Buffer.from(`data: ${data}\n\n`);

const listen = (server) => new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));

/** What everything is held against: the bytes are encoded once, and written. */
async function plain() {
  const responses = new Set();
  const server = createServer((request, response) => {
    response.writeHead(200, HEAD);
    response.flushHeaders();
    responses.add(response);
    response.on('close', () => responses.delete(response));
  });
  return {
    server: await listen(server),
    publish: (event) => {
      const bytes = toBuffer(event);
      for (const response of responses) response.write(bytes);
    },
  };
}

async function nest(controller, adapter, imports = []) {
  Controller()(controller);
  class AppModule {}
  Module({ imports, controllers: [controller] })(AppModule);
  const app = await NestFactory.create(AppModule, adapter, { logger: false });
  await app.listen(0, '127.0.0.1');
  return app.getHttpServer();
}

/** A route of Nest that does what the plain server does: the floor of its adapter. */
const bare = (makeAdapter) => async () => {
  const responses = new Set();
  class BareController {
    stream(response) {
      const raw = response.raw ?? response;
      response.hijack?.();
      raw.writeHead(200, HEAD);
      raw.flushHeaders();
      responses.add(raw);
      raw.on('close', () => responses.delete(raw));
    }
  }
  decorate(BareController.prototype, 'stream', [Res()], Get('stream'));
  return {
    server: await nest(BareController, makeAdapter()),
    publish: (event) => {
      const bytes = toBuffer(event);
      for (const response of responses) response.write(bytes);
    },
  };
};

const nestSse = (makeAdapter) => async () => {
  const events = new Subject();
  class SseController {
    stream() {
      return events;
    }
  }
  decorate(SseController.prototype, 'stream', [], Sse('stream'));
  return { server: await nest(SseController, makeAdapter()), publish: (event) => events.next(event) };
};

/** Ours: the handler returns one Subject for all; `make` says what is put into it. */
const managed = (makeAdapter, make) => async () => {
  const events = new Subject();
  class ManagedController {
    stream() {
      return events;
    }
  }
  decorate(ManagedController.prototype, 'stream', [], ManagedSse('stream'));
  return {
    server: await nest(ManagedController, makeAdapter(), [SseSessionModule.forRoot({ retryMs: false })]),
    publish: (event) => events.next(make(event)),
  };
};

async function betterSse() {
  const { createChannel, createSession } = await import('better-sse');
  const channel = createChannel();
  const server = createServer(async (request, response) => {
    channel.register(await createSession(request, response, { keepAlive: 15_000 }));
  });
  return { server: await listen(server), publish: ({ data }) => channel.broadcast(data) };
}

async function fastifySse() {
  const { default: fastify } = await import('fastify');
  const { default: plugin } = await import('@fastify/sse');
  const app = fastify();
  await app.register(plugin);
  const replies = new Set();
  app.get('/stream', { sse: true }, async (request, reply) => {
    reply.sse.keepAlive();
    reply.sse.sendHeaders?.();
    replies.add(reply);
    reply.raw.on('close', () => replies.delete(reply));
  });
  await app.listen({ port: 0, host: '127.0.0.1' });
  return {
    server: app.server,
    publish: (event) => {
      for (const reply of replies) void reply.sse.send(event);
    },
  };
}

const express = () => new ExpressAdapter();
const fastify = () => new FastifyAdapter();

export const contenders = {
  'plain Node': plain,
  'Nest @Res(), Express': bare(express),
  'Nest @Res(), Fastify': bare(fastify),
  'ours, SseEvent, Fastify': managed(fastify, (event) => sseEvent(event)),
  'ours, objects, Fastify': managed(fastify, (event) => event),
  'ours, SseEvent, Express': managed(express, (event) => sseEvent(event)),
  'Nest @Sse(), Express': nestSse(express),
  'Nest @Sse(), Fastify': nestSse(fastify),
  'better-sse': betterSse,
  '@fastify/sse': fastifySse,
};
