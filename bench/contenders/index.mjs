// Who is measured. start({ heartbeatMs, tokens, ended }) gives { server, publish(event) }, written as somebody who uses that library would:
//   GET /stream   gets every event that is published
//   GET /watched  does so too, and calls ended(socket) when it has noticed that its client has gone
//   GET /tokens   gets a stream of its own, the async iterable that tokens() gives
//   heartbeatMs   how often a heartbeat is written, if at all; absent: the library's default
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { ExpressAdapter } from '@nestjs/platform-express';
import { sseEvent } from 'nestjs-sse-session';
import { betterSse } from './better-sse.mjs';
import { channel } from './channel.mjs';
import { fastifySse } from './fastify-sse.mjs';
import { managed } from './managed.mjs';
import { nestSse } from './nest-sse.mjs';
import { bareNest, leastSession, plain } from './plain.mjs';

const express = () => new ExpressAdapter();
const fastify = () => new FastifyAdapter();
const object = (event) => event;

/** What everything is held against. */
export const BASELINE = 'plain Node';

const STREAMS = ['steady', 'paced', 'tokens', 'churn'];
const ALL = [...STREAMS, 'idle', 'ends'];
const WITHOUT_HEARTBEATS = [...STREAMS, 'ends'];

/** `loads`: which of them it takes part in, see loads.mjs; `quick`: also with --quick. */
export const contenders = {
  [BASELINE]: { kind: 'baseline', start: plain, loads: ALL, quick: true },
  'Nest @Res(), Fastify': { kind: 'other', start: bareNest(fastify), loads: STREAMS },
  'Nest @Res(), Express': { kind: 'other', start: bareNest(express), loads: STREAMS },
  'the least session, Fastify': { kind: 'other', start: leastSession(fastify), loads: [] },
  'ours, SseEvent, Fastify': { kind: 'ours', start: managed(fastify, sseEvent), loads: ALL, quick: true },
  'ours, no dead-peer probe, Fastify': {
    kind: 'ours',
    start: managed(fastify, sseEvent, { deadPeer: false }),
    loads: ['idle'],
    quick: true,
  },
  'ours, resume, Fastify': { kind: 'ours', start: managed(fastify, sseEvent, { resume: {} }), loads: ['steady', 'paced'], quick: true },
  'ours, objects, Fastify': { kind: 'ours', start: managed(fastify, object), loads: ['steady', 'paced'], quick: true },
  'ours, channel, Fastify': { kind: 'ours', start: channel(fastify, object), loads: ['steady', 'paced'], quick: true },
  'ours, SseEvent, Express': { kind: 'ours', start: managed(express, sseEvent), loads: WITHOUT_HEARTBEATS, quick: true },
  'Nest @Sse(), Fastify': { kind: 'other', start: nestSse(fastify), loads: WITHOUT_HEARTBEATS, quick: true },
  'Nest @Sse(), Express': { kind: 'other', start: nestSse(express), loads: WITHOUT_HEARTBEATS },
  'better-sse': { kind: 'other', start: betterSse, loads: ALL, quick: true },
  '@fastify/sse': { kind: 'other', start: fastifySse, loads: ALL },
};
