/** The fields of an event, checked and ready for the wire. */
export interface EventFields {
  readonly data?: string;
  readonly type?: string;
  readonly id?: string;
  readonly retry?: number;
  readonly comment?: string;
}

/**
 * An event as the bytes that every connection gets: encoded once, shared by all.
 * WHATWG HTML, section 9.2.6 "Interpreting an event stream".
 */
export class EncodedEvent {
  /** In how many outboxes it waits; kept by the outboxes. */
  holders = 0;
  /** In how many logs it stands; kept by the logs. */
  logs = 0;
  #bytes: Buffer | undefined;

  constructor(
    /** The lines of the block, with its blank line if it has one. */
    readonly text: string,
    /** Of which `overflow: 'latest'` keeps the newest: the type of an event, or what a block without data is for. */
    readonly slot: string,
    /** Whether a blank line ends the block, so that a client commits it. Comments and a `retry:` take effect line by line and have none. */
    readonly committed: boolean,
    /** Whether it has an `id` of its own. */
    readonly hasId = false,
    readonly byteLength = Buffer.byteLength(text),
  ) {}

  /** What it takes in memory, in bytes: a character of text that is not all ASCII may take two, and what leaves in slices is there as bytes, too. */
  get memoryBytes(): number {
    const { length } = this.text;
    const textBytes = length === this.byteLength ? length : 2 * length;
    return OBJECT_BYTES + textBytes + (this.byteLength > LARGE ? this.byteLength : 0);
  }

  /** For events that leave in slices: made once for all. */
  get bytes(): Buffer {
    return (this.#bytes ??= Buffer.from(this.text));
  }
}

/** What the object takes beside its text. */
const OBJECT_BYTES = 128;
/** From here on it leaves in slices. */
const LARGE = 64 * 1024;

const LINE_BREAK = /\r\n|\r|\n/;

function lines(field: string, value: string): string {
  if (!LINE_BREAK.test(value)) return `${field} ${value}\n`;
  let text = '';
  for (const line of value.split(LINE_BREAK)) text += `${field} ${line}\n`;
  return text;
}

/** Empty without an id; an empty id clears the client's. */
export function idLine(id: string | undefined): string {
  if (id === undefined) return '';
  return id === '' ? 'id:\n' : `id: ${id}\n`;
}

/**
 * Writes a block. The id comes last, as `@microsoft/fetch-event-source` takes an id at its line, before the block is complete: a
 * connection cut inside the block must not leave the client with the id of an event that it does not have.
 */
export function encode(fields: EventFields): EncodedEvent {
  const { data, type, id, retry, comment } = fields;
  let text = '';
  if (comment !== undefined) text += lines(':', comment);
  if (retry !== undefined) text += `retry: ${retry}\n`;
  if (type) text += `event: ${type}\n`;
  if (data !== undefined) text += lines('data:', data);
  text += idLine(id);
  const committed = data !== undefined || id !== undefined;
  if (committed) text += '\n';
  return new EncodedEvent(text, slotOf(fields), committed, id !== undefined);
}

/** An event that has data and no id, with one of ASCII spliced in, which is all that is looked at: an id comes last. */
export function withId({ text, slot, byteLength }: EncodedEvent, id: string): EncodedEvent {
  const line = idLine(id);
  return new EncodedEvent(`${text.slice(0, -1)}${line}\n`, slot, true, true, byteLength + line.length);
}

/** No type has a NUL in it, so that none meets these. */
function slotOf({ data, type, id, retry }: EventFields): string {
  if (data !== undefined) return type ?? '';
  if (id !== undefined) return '\0id';
  return retry === undefined ? '\0comment' : '\0retry';
}

/** A payload that is already text: the hot path of token streams. */
export function encodeData(data: string): EncodedEvent {
  return new EncodedEvent(`${lines('data:', data)}\n`, '', true);
}

/** One comment line, which no client shows. */
export function encodeComment(comment: string): EncodedEvent {
  return encode({ comment });
}
