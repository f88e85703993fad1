/** A block of an event stream as a client takes it. */
export interface Block {
  readonly type: string;
  /** Absent in a block that dispatches nothing. */
  readonly data: string | undefined;
  /** Of this block alone. */
  readonly id: string | undefined;
}

/** The blocks of a body that are complete, with those that dispatch nothing, and the line that an `eager` client takes an id from (WHATWG HTML, 9.2.6). */
export function blocksOf(body: string): Block[] {
  return body.split('\n\n').slice(0, -1).map(readBlock);
}

/** What `@microsoft/fetch-event-source` takes for the last id: it does not wait until the block is complete. */
export function eagerIdOf(body: string): string | undefined {
  const lines = body.split('\n').slice(0, -1);
  return lines.findLast((line) => line.startsWith('id: '))?.slice('id: '.length);
}

/** What any other client takes for it. */
export function committedIdOf(body: string): string | undefined {
  return blocksOf(body).findLast(({ id }) => id !== undefined)?.id;
}

function readBlock(text: string): Block {
  let type = '';
  let id: string | undefined;
  const data: string[] = [];
  for (const line of text.split('\n')) {
    const [, field = '', value = ''] = /^([^:]*)(?:: ?(.*))?$/.exec(line) ?? [];
    if (field === 'event') type = value;
    if (field === 'id') id = value;
    if (field === 'data') data.push(value);
  }
  return { type, data: data.length > 0 ? data.join('\n') : undefined, id };
}
