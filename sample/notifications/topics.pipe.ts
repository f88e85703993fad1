import { BadRequestException, Injectable, type PipeTransform } from '@nestjs/common';
import { TOPICS, isTopic, type Topic } from './topics.js';

/** Takes topics with commas between them, and all if none is given; anything else is a 400. */
@Injectable()
export class TopicsPipe implements PipeTransform<unknown, readonly Topic[]> {
  transform(value: unknown): readonly Topic[] {
    if (value === undefined) return TOPICS;
    const topics: unknown[] = typeof value === 'string' ? value.split(',') : [];
    if (topics.length === 0 || !topics.every(isTopic)) throw new BadRequestException(`Expected one or more of ${TOPICS.join(', ')}`);
    return topics;
  }
}
