/** Chunks of bytes as text: one UTF-8 stream, in which a character may be cut between two chunks. */
export class TextPayloads {
  readonly #decoder = new TextDecoder();

  /** The text that `bytes` complete, which may be empty. */
  decode(bytes: Uint8Array): string {
    return this.#decoder.decode(bytes, { stream: true });
  }

  /** What is left at the end: a replacement character when the stream was cut inside one. */
  end(): string {
    return this.#decoder.decode();
  }
}
