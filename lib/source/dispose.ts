type Method = (this: unknown, ...args: unknown[]) => unknown;

function method(target: object, name: string | symbol): Method | undefined {
  const value = (target as Record<string | symbol, unknown>)[name];
  return typeof value === 'function' ? (value as Method) : undefined;
}

function carriedController(source: object): AbortController | undefined {
  const controller = (source as { controller?: Partial<AbortController> | null }).controller;
  return typeof controller?.abort === 'function' && controller.signal ? (controller as AbortController) : undefined;
}

function isLocked(source: object): boolean {
  return (source as { locked?: unknown }).locked === true;
}

/** The symbols of explicit resource management; not every Node that we run on has them. */
const DISPOSE_SYMBOLS = [(Symbol as { asyncDispose?: symbol }).asyncDispose, (Symbol as { dispose?: symbol }).dispose];

function findDisposer(source: object): Method | undefined {
  const destroy = method(source, 'destroy');
  if (destroy) return destroy;
  const cancel = method(source, 'cancel');
  // a locked ReadableStream refuses cancel(): whoever iterates it cancels it by return()
  if (cancel && !isLocked(source)) return cancel;
  for (const symbol of DISPOSE_SYMBOLS) {
    const dispose = symbol && method(source, symbol);
    if (dispose) return dispose;
  }
  return undefined;
}

/**
 * A Node stream whose `'error'` nobody listens to ends the process. Its iterator listens only from the first `next()` on, which may have to
 * wait for the client, and no more once it was destroyed; what failed is reported by the iterator all the same.
 */
export function ignoreErrorEvents(source: object): void {
  try {
    if (method(source, 'destroy')) method(source, 'on')?.call(source, 'error', () => undefined);
  } catch {
    // a getter of the source threw: it is no Node stream
  }
}

/**
 * Lets go of a source that will not be read (any further), in every way that it offers. The stream of an LLM SDK needs its
 * `controller.abort()`: `return()` alone leaves its upstream open while a `next()` is pending, or when it was never iterated.
 *
 * @param iterator the iterator that reads it, if there is one
 * @param report hears of whatever the source throws or rejects at that
 * @returns what resolves when the source has let go; all of it has been asked to when this returns
 */
export async function disposeSource(
  source: object,
  iterator: AsyncIterator<unknown> | undefined,
  report: (error: unknown) => void,
): Promise<void> {
  const ends: Promise<unknown>[] = [];
  const attempt = (call: () => unknown): void => {
    try {
      ends.push(Promise.resolve(call()).catch(report));
    } catch (error) {
      report(error);
    }
  };
  // getters of the source may throw: one that does must not keep the others from being asked
  let isTold = false;
  attempt(() => {
    const controller = carriedController(source);
    isTold = controller !== undefined;
    return controller?.abort();
  });
  attempt(() => {
    const disposer = findDisposer(source);
    isTold ||= disposer !== undefined;
    return disposer?.call(source);
  });
  if (iterator) attempt(() => iterator.return?.());
  else if (!isTold) attempt(() => returnOf(source));
  await Promise.all(ends);
}

function returnOf(source: object): unknown {
  const own = method(source, 'return');
  if (own) return own.call(source);
  // only the iterator of such a source can be told to stop
  return (source as AsyncIterable<unknown>)[Symbol.asyncIterator]?.().return?.();
}
