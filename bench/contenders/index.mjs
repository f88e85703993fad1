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

const STREAMS = ['steady', 'paced', 'tokens', 'churn'];
const ALL = [...STREAMS, 'idle', 'ends'];
const WITHOUT_HEARTBEATS = [...STREAMS, 'ends'];

/**
 * `loads`: which of them it takes part in, see loads.mjs; `quick`: also with --quick; `watchedPath`: the route that tells of ends, if only one
 * that costs more does.
 */
export const contenders = {
  [BASELINE]: { start: plain, loads: ALL, quick: true },
  'Nest @Res(), Fastify': { start: bareNest(fastify), loads: STREAMS },
  'Nest @Res(), Express': { start: bareNest(express), loads: STREAMS },
  'ours, SseEvent, Fastify': { start: managed(fastify, sseEvent), loads: ALL, watchedPath: '/watched', quick: true },
  'ours, no dead-peer probe, Fastify': { start: managed(fastify, sseEvent, { deadPeer: false }), loads: ['idle'], quick: true },
  'ours, objects, Fastify': { start: managed(fastify, object), loads: ['steady', 'paced'], quick: true },
  'ours, SseEvent, Express': { start: managed(express, sseEvent), loads: WITHOUT_HEARTBEATS, watchedPath: '/watched', quick: true },
  'Nest @Sse(), Fastify': { start: nestSse(fastify), loads: WITHOUT_HEARTBEATS, quick: true },
  'Nest @Sse(), Express': { start: nestSse(express), loads: WITHOUT_HEARTBEATS },
  'better-sse': { start: betterSse, loads: ALL, quick: true },
  '@fastify/sse': { start: fastifySse, loads: ALL },
};
