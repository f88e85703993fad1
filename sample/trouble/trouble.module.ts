import { Module } from '@nestjs/common';
import { TroubleController } from './trouble.controller.js';

@Module({ controllers: [TroubleController] })
export class TroubleModule {}
