import { Module, type DynamicModule } from '@nestjs/common';
import { ScheduleModule } from '@nestjs/schedule';
import { SseSessionModule } from 'nestjs-sse-session';
import { ChatModule } from './chat/chat.module.js';
import { MetricsModule } from './metrics/metrics.module.js';
import { NotificationsModule } from './notifications/notifications.module.js';
import { SessionsModule } from './sessions/sessions.module.js';
import { TroubleModule } from './trouble/trouble.module.js';
import { UpstreamModule } from './upstream/upstream.module.js';
import type { UpstreamOptions } from './upstream/upstream.js';
import { visitorIn } from './visitor/visitor.js';

@Module({})
export class AppModule {
  static forRoot(upstream: UpstreamOptions): DynamicModule {
    return {
      module: AppModule,
      imports: [
        ScheduleModule.forRoot(),
        SseSessionModule.forRoot({
          principal: visitorIn,
          heartbeat: { intervalMs: 10_000 },
          // So long may a tab be offline, and still gets every notification that it missed.
          channels: { maxAgeMs: 60 * 60_000 },
          limits: { maxConnections: 1_000, maxPerPrincipal: 40 },
        }),
        UpstreamModule.forRoot(upstream),
        ChatModule,
        MetricsModule,
        NotificationsModule,
        SessionsModule,
        TroubleModule,
      ],
    };
  }
}
