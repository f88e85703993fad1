import { Module } from '@nestjs/common';
import { NotificationFeed } from './notification-feed.js';
import { NotificationsController } from './notifications.controller.js';

@Module({ controllers: [NotificationsController], providers: [NotificationFeed] })
export class NotificationsModule {}
