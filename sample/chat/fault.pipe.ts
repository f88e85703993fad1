import { BadRequestException, Injectable, type PipeTransform } from '@nestjs/common';
import { isFault, type Fault } from '../upstream/models.js';

@Injectable()
export class FaultPipe implements PipeTransform<unknown, Fault> {
  transform(value: unknown = 'none'): Fault {
    if (!isFault(value)) throw new BadRequestException('Unknown fault');
    return value;
  }
}
