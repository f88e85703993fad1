import { Module, type DynamicModule } from '@nestjs/common';
import OpenAI from 'openai';
import { UpstreamController } from './upstream.controller.js';
import { Upstream, type UpstreamOptions } from './upstream.js';

@Module({})
export class UpstreamModule {
  static forRoot(options: UpstreamOptions): DynamicModule {
    return {
      module: UpstreamModule,
      global: true,
      controllers: [UpstreamController],
      providers: [
        { provide: Upstream, useFactory: () => Upstream.connect(options) },
        { provide: OpenAI, useFactory: (upstream: Upstream) => upstream.client, inject: [Upstream] },
      ],
      exports: [Upstream, OpenAI],
    };
  }
}
