import { Session } from 'node:inspector';
import { queryObjects } from 'node:v8';

type Constructor = abstract new (...args: never[]) => unknown;

/** Under which the classes can be reached from outside the context of the tests. */
const HANDLE = '__countedClasses';

/**
 * Counts the live instances of classes, after a garbage collection. `queryObjects` sees Node's own context alone, and Jest runs tests in
 * another: what is made there, the library's objects and all their closures and arrays, is asked for through the inspector.
 */
export class LiveObjects {
  readonly #inspector = new Session();
  readonly #contextId: number;

  constructor(
    private readonly classes: Readonly<Record<string, Constructor>>,
    private readonly nodeClasses: Readonly<Record<string, Constructor>> = {},
  ) {
    Object.assign(globalThis, { [HANDLE]: classes });
    const contexts: number[] = [];
    this.#inspector.connect();
    this.#inspector.on('Runtime.executionContextCreated', ({ params }) => void contexts.push(params.context.id));
    this.#post('Runtime.enable');
    const own = contexts.find((contextId) => {
      const { result } = this.#post<{ result: { value: string } }>('Runtime.evaluate', { contextId, expression: `typeof ${HANDLE}` });
      return result.value === 'object';
    });
    if (own === undefined) throw new Error('The inspector does not see the context of the tests');
    this.#contextId = own;
  }

  /** Each kind takes a collection and a walk through the heap: some 0.2 s. */
  count(kinds: readonly string[]): Record<string, number> {
    return Object.fromEntries(kinds.map((kind) => [kind, kind in this.classes ? this.#countHere(kind) : this.#countInNode(kind)]));
  }

  dispose(): void {
    this.#inspector.disconnect();
    Reflect.deleteProperty(globalThis, HANDLE);
  }

  #countInNode(kind: string): number {
    const constructor = this.nodeClasses[kind];
    if (!constructor) throw new Error(`Nobody said what ${kind} are`);
    return queryObjects(constructor, { format: 'count' });
  }

  #countHere(kind: string): number {
    const { result } = this.#post<{ result: { objectId: string } }>('Runtime.evaluate', {
      contextId: this.#contextId,
      expression: `${HANDLE}.${kind}.prototype`,
      objectGroup: HANDLE,
    });
    const { objects } = this.#post<{ objects: { objectId: string } }>('Runtime.queryObjects', {
      prototypeObjectId: result.objectId,
      objectGroup: HANDLE,
    });
    const { result: length } = this.#post<{ result: { value: number } }>('Runtime.callFunctionOn', {
      objectId: objects.objectId,
      functionDeclaration: 'function () { return this.length; }',
      returnByValue: true,
    });
    this.#post('Runtime.releaseObjectGroup', { objectGroup: HANDLE });
    return length.value;
  }

  /** Within one process the inspector answers at once. */
  #post<Answer>(method: string, params: object = {}): Answer {
    let answer: unknown;
    this.#inspector.post(method, params, (error, result) => {
      if (error) throw new Error(`${method}: ${error.message}`);
      answer = result;
    });
    return answer as Answer;
  }
}
