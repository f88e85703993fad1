import { Module } from '@nestjs/common';
import { Machine } from './machine.js';
import { MetricsController } from './metrics.controller.js';

@Module({ controllers: [MetricsController], providers: [Machine] })
export class MetricsModule {}
