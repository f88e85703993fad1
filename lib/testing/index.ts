export { CLOCK, type Clock, RANDOM, type Random } from '../clock/clock.js';
export type { EventFields } from '../event/encode.js';
export { type CollectOptions, collect } from './collect.js';
export { FakeClock, fakeRandom } from './fake-clock.js';
export { type TestSession, type TestSessionOptions, createTestSession } from './test-session.js';
