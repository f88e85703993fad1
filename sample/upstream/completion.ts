import type OpenAI from 'openai';

type Chunk = OpenAI.ChatCompletionChunk;
type Choice = OpenAI.ChatCompletionChunk.Choice;
type Delta = OpenAI.ChatCompletionChunk.Choice.Delta;

/** The JSON of one streamed completion, piece by piece, in the shape of the OpenAI protocol. */
export class Completion {
  private readonly head: Pick<Chunk, 'id' | 'object' | 'created' | 'model'>;

  constructor(id: string, model: string) {
    this.head = { id: `chatcmpl-${id}`, object: 'chat.completion.chunk', created: Math.floor(Date.now() / 1000), model };
  }

  first(): Chunk {
    return this.chunk({ role: 'assistant', content: '' });
  }

  token(content: string): Chunk {
    return this.chunk({ content });
  }

  last(reason: Choice['finish_reason']): Chunk {
    return this.chunk({}, reason);
  }

  private chunk(delta: Delta, finish_reason: Choice['finish_reason'] = null): Chunk {
    return { ...this.head, choices: [{ index: 0, delta, finish_reason }] };
  }
}

export const errorBody = (message: string, type: string) => ({ error: { message, type, param: null, code: type } });
