import { Module } from '@nestjs/common';
import { AnswerLog } from './answer-log.js';
import { ChatController } from './chat.controller.js';

@Module({ controllers: [ChatController], providers: [AnswerLog], exports: [AnswerLog] })
export class ChatModule {}
