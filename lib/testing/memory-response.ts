import type { ResponseListener, ResponseStream } from '../connection/response-stream.js';

/** A response that is kept in memory: its client reads at once, or when it is told to. */
export class MemoryResponse implements ResponseStream {
  /** What the client has read. */
  received = '';
  isOpen = false;
  isEnded = false;
  isDestroyed = false;
  isGone = false;
  isAnswered = false;
  readonly isTcp: boolean = false;
  readonly remotePort = undefined;
  readonly endpoints = undefined;
  /** How many times it was written to. */
  writes = 0;

  readonly #decoder = new TextDecoder();
  #waiting: Buffer[] = [];
  #isReading = true;
  /** As Node does it: a drain follows only a write that asked to wait for one. */
  #needsDrain = false;
  #listener: ResponseListener | undefined;

  /** @param highWaterMark bytes from which on `write` asks to wait for a drain */
  constructor(private readonly highWaterMark = 16 * 1024) {}

  acknowledgedBytes(): undefined {
    return undefined;
  }

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
    this.#needsDrain = this.writableLength >= this.highWaterMark;
    return !this.#needsDrain;
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
    if (this.#needsDrain) {
      this.#needsDrain = false;
      this.#listener?.onDrain();
    }
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
    this.received += this.#decoder.decode(Buffer.concat(this.#waiting), { stream: true });
    this.#waiting = [];
  }

  #closeWhenRead(): void {
    if (!this.isEnded || this.#waiting.length > 0) return;
    const listener = this.#listener;
    this.#listener = undefined;
    queueMicrotask(() => listener?.onClose(true, undefined));
  }
}
