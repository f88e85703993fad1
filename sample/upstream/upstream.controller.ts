import { Controller, Get } from '@nestjs/common';
import { Upstream, type UpstreamStatus } from './upstream.js';

@Controller('api/upstream')
export class UpstreamController {
  constructor(private readonly upstream: Upstream) {}

  @Get()
  status(): UpstreamStatus {
    return this.upstream.status();
  }
}
