// Who is measured. start({ heartbeatMs, tokens, ended }) gives { server, publish(event) }, written as somebody who uses that library would:
//   GET /stream   gets every event that is published
//   GET /tokens   gets a stream of its own, the async iterable that tokens() gives
//   heartbeatMs   how often a heartbeat is written, if at all; absent: the library's default
//   ended(socket) is called when the contender has noticed that a client of /stream has gone
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { ExpressAdapter } from '@nestjs/platform-express';
import { sseEvent } from 'nestjs-sse-session';
import { betterSse } from './better-sse.mjs';
import { fastifySse } from './fastify-sse.mjs';
import { managed } from './managed.mjs';
import { nestSse } from './nest-sse.mjs';
import { bareNest, plain } from './plain.mjs';

const express = () => new ExpressAdapter();
const fastify = () => new FastifyAdapter();
const object = (event) => event;

/** What everything is held against. */
export const BASELINE = 'plain Node';

/** `loads`: which of them it can take, see loads.mjs; `watchedPath`: the route that tells of ends, if only one that costs more does. */
export const contenders = {
  [BASELINE]: { start: plain, loads: ['steady', 'paced', 'tokens', 'idle', 'churn', 'ends'] },
  'Nest @Res(), Fastify': { start: bareNest(fastify), loads: ['steady', 'paced', 'tokens', 'churn'] },
  'Nest @Res(), Express': { start: bareNest(express), loads: ['steady', 'paced', 'tokens', 'churn'] },
  'ours, SseEvent, Fastify': {
    start: managed(fastify, sseEvent),
    loads: ['steady', 'paced', 'tokens', 'idle', 'churn', 'ends'],
    watchedPath: '/watched',
  },
  'ours, SseEvent, Fastify, no dead-peer probe': { start: managed(fastify, sseEvent, { deadPeer: false }), loads: ['idle'] },
  'ours, objects, Fastify': { start: managed(fastify, object), loads: ['steady', 'paced'] },
  'ours, SseEvent, Express': {
    start: managed(express, sseEvent),
    loads: ['steady', 'paced', 'tokens', 'idle', 'churn', 'ends'],
    watchedPath: '/watched',
  },
  'Nest @Sse(), Fastify': { start: nestSse(fastify), loads: ['steady', 'paced', 'tokens', 'churn', 'ends'] },
  'Nest @Sse(), Express': { start: nestSse(express), loads: ['steady', 'paced', 'tokens', 'churn', 'ends'] },
  'better-sse': { start: betterSse, loads: ['steady', 'paced', 'tokens', 'idle', 'churn', 'ends'] },
  '@fastify/sse': { start: fastifySse, loads: ['steady', 'paced', 'tokens', 'idle', 'churn', 'ends'] },
};
