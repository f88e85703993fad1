import { randomUUID } from 'node:crypto';
import { Controller, HttpCode, Post, Req, UseGuards } from '@nestjs/common';
import type { Request } from 'express';
import { ManagedSse } from 'nestjs-sse-session';
import { Visitor } from '../visitor/visitor.decorator.js';
import { VisitorGuard } from '../visitor/visitor.guard.js';
import { flood } from './flood.js';
import { OpenStreams } from './open-streams.js';
import { SlowClient } from './slow-client.js';

@Controller('api/trouble')
@UseGuards(VisitorGuard)
export class TroubleController {
  private readonly slowClients = new Map<string, SlowClient>();

  constructor(private readonly streams: OpenStreams) {}

  /** Resets the visitor's streams as a lost network would: no end, no last event, and the browser comes back by itself. */
  @Post('drop')
  @HttpCode(200)
  drop(@Visitor() visitor: string) {
    return { dropped: this.streams.drop(visitor) };
  }

  /** Starts a client in the visitor's name that does not read; the list of sessions shows what becomes of it. */
  @Post('slow-client')
  startSlowClient(@Req() request: Request) {
    const run = randomUUID();
    const { localAddress: host = '127.0.0.1', localPort: port = 80 } = request.socket;
    const target = { host, port, path: `/api/trouble/flood?run=${run}`, cookie: request.headers.cookie ?? '' };
    this.slowClients.set(run, new SlowClient(target, () => this.slowClients.delete(run)));
    return { run };
  }

  @ManagedSse<TroubleController>('flood', {
    key: (context) => runOf(context.switchToHttp().getRequest<Request>()),
    buffer: { maxBytes: 262_144, overflow: 'close' },
    limits: { maxPerPrincipal: 3 },
    onCompletion(session) {
      if (session.key !== undefined) this.slowClients.get(session.key)?.close();
    },
  })
  flood() {
    return flood();
  }
}

function runOf({ query: { run } }: Request): string | undefined {
  return typeof run === 'string' ? run : undefined;
}
