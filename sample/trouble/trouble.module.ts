import { Module, type MiddlewareConsumer, type NestModule } from '@nestjs/common';
import { OpenStreams } from './open-streams.js';
import { TroubleController } from './trouble.controller.js';

@Module({ controllers: [TroubleController], providers: [OpenStreams] })
export class TroubleModule implements NestModule {
  constructor(private readonly streams: OpenStreams) {}

  /** Not the list of sessions, which is to show what becomes of the others. */
  configure(consumer: MiddlewareConsumer): void {
    consumer.apply(this.streams.watch).forRoutes('api/chat/stream', 'api/metrics', 'api/notifications');
  }
}
