import type { ResponseListener, ResponseStream } from '../connection/response-stream.js';

/** A response that is kept in memory: its client reads at once, or when it is told to. */
export class MemoryResponse implements ResponseStream {
  /** What the client has read. */
  received = '';
  isOpen = false;
  isEnded = false;
  isDestroyed = false;
  isGone = false;
  isTaken = false;
  /** How many times it was written to. */
  writes = 0;

  #waiting: Buffer[] = [];
  #isReading = true;
  #listener: ResponseListener | undefined;

  /** @param highWaterMark bytes from which on `write` asks to wait for a drain */
  constructor(private readonly highWaterMark = 16 * 1024) {}

  get writableLength(): number {
    return this.#waiting.reduce((sum, chunk) => sum + chunk.byteLength, 0);
  }

  listen(listener: ResponseListener): void {
    this.#listener = listener;
    if (this.isGone) this.disconnect();
  }

  open(): void {
    this.isOpen = true;
  }

  write(chunk: string | Buffer): boolean {
    if (this.isEnded) throw new Error('write after end');
    this.writes++;
    this.#waiting.push(Buffer.from(chunk));
    if (this.#isReading) this.#read();
    return this.writableLength < this.highWaterMark;
  }

  end(): void {
    this.isEnded = true;
    this.#closeWhenRead();
  }

  destroy(): void {
    this.isDestroyed = true;
    this.isGone = true;
    this.#listener = undefined;
  }

  release(): void {
    this.#listener = undefined;
  }

  /** The client stops reading. */
  pause(): void {
    this.#isReading = false;
  }

  /** The client reads on. */
  resume(): void {
    this.#isReading = true;
    this.#read();
    this.#listener?.onDrain();
    this.#closeWhenRead();
  }

  /** The client goes away. */
  disconnect(error?: Error): void {
    this.isGone = true;
    const listener = this.#listener;
    this.#listener = undefined;
    listener?.onClose(false, error);
  }

  #read(): void {
    this.received += Buffer.concat(this.#waiting).toString();
    this.#waiting = [];
  }

  #closeWhenRead(): void {
    if (!this.isEnded || this.#waiting.length > 0) return;
    const listener = this.#listener;
    this.#listener = undefined;
    queueMicrotask(() => listener?.onClose(true, undefined));
  }
}
