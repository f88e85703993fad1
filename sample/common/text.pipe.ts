import { BadRequestException, Injectable, type PipeTransform } from '@nestjs/common';

/** Takes a text that is neither empty nor too long; anything else is a 400. */
@Injectable()
export class TextPipe implements PipeTransform<unknown, string> {
  constructor(private readonly maxLength: number) {}

  transform(value: unknown): string {
    const text = typeof value === 'string' ? value.trim() : '';
    if (text === '' || text.length > this.maxLength) throw new BadRequestException(`Expected a text of 1 to ${this.maxLength} characters`);
    return text;
  }
}
