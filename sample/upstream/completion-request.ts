import type { IncomingMessage } from 'node:http';

const MAX_BODY_BYTES = 1_048_576;

export interface CompletionRequest {
  model: string;
  prompt: string;
  stream: boolean;
}

/** What is asked of `POST /v1/chat/completions`, or undefined if it is no such request. */
export async function readCompletionRequest(request: IncomingMessage): Promise<CompletionRequest | undefined> {
  try {
    return parse(JSON.parse(await bodyOf(request)));
  } catch {
    return undefined;
  }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) throw new RangeError('too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parse(body: unknown): CompletionRequest | undefined {
  const { model, messages, stream } = body as { model?: unknown; messages?: unknown; stream?: unknown };
  if (typeof model !== 'string' || !Array.isArray(messages)) return undefined;
  const { content } = (messages.at(-1) ?? {}) as { content?: unknown };
  return typeof content === 'string' ? { model, prompt: content, stream: stream === true } : undefined;
}
