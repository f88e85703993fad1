import { Module } from '@nestjs/common';
import { ChatModule } from '../chat/chat.module.js';
import { SessionBoard } from './session-board.js';
import { SessionsController } from './sessions.controller.js';

@Module({ imports: [ChatModule], controllers: [SessionsController], providers: [SessionBoard] })
export class SessionsModule {}
