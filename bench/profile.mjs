import { Session } from 'node:inspector/promises';

const SAMPLE_EVERY_US = 100;

/** Native functions of Node that make the system call. */
const SENDS = new Set(['writev', 'writeBuffer', 'writeLatin1String', 'writeUtf8String', 'writeAsciiString']);

function partOf({ functionName, url }) {
  if (functionName === '(idle)') return undefined;
  if (functionName === '(garbage collector)') return 'garbage collection';
  if (url === '') return SENDS.has(functionName) ? 'the kernel’s send' : 'Node';
  if (url.startsWith('node:')) return 'Node';
  if (url.includes('/rxjs/')) return 'RxJS';
  return url.includes('/dist/esm/') ? 'this library' : 'the application, Nest and the rest';
}

/** Where the time of `work` goes: microseconds by part, of functions themselves without what they call. */
export async function profile(work) {
  const session = new Session();
  session.connect();
  await session.post('Profiler.enable');
  await session.post('Profiler.setSamplingInterval', { interval: SAMPLE_EVERY_US });
  await session.post('Profiler.start');
  await work();
  const { profile: taken } = await session.post('Profiler.stop');
  session.disconnect();
  const frames = new Map(taken.nodes.map(({ id, callFrame }) => [id, callFrame]));
  const parts = {};
  taken.samples.forEach((id, n) => {
    const part = partOf(frames.get(id));
    if (part) parts[part] = (parts[part] ?? 0) + taken.timeDeltas[n];
  });
  return parts;
}
