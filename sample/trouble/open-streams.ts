import { Injectable } from '@nestjs/common';
import type { NextFunction, Request, Response } from 'express';
import { visitorOf } from '../visitor/visitor.js';

/** The requests of the page's streams that are open: several may share one session, so that no session could tell. */
@Injectable()
export class OpenStreams {
  private readonly requests = new Set<Request>();

  /** Middleware. */
  readonly watch = (request: Request, response: Response, next: NextFunction): void => {
    this.requests.add(request);
    response.once('close', () => this.requests.delete(request));
    next();
  };

  /** Resets the connections of a visitor; returns how many there were. */
  drop(visitor: string): number {
    const dropped = [...this.requests].filter((request) => visitorOf(request) === visitor);
    for (const { socket } of dropped) socket.resetAndDestroy();
    return dropped.length;
  }
}
