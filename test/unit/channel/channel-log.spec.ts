import { expect, it } from '@jest/globals';
import { createChannelLog } from '../../../lib/channel/channel-log.js';
import { Channels } from '../../../lib/channel/channels.js';

it('The log of the channels has a random epoch of eight characters, which no token of 22 can be taken for', async () => {
  const epochs = Array.from({ length: 1_000 }, () => createChannelLog({ maxBytes: 1, maxAgeMs: 1 }, () => 0).epoch);
  expect(new Set(epochs).size).toBe(1_000);
  for (const epoch of epochs) expect(epoch).toMatch(/^[\w-]{8}$/);
});

it('It keeps what its options say, by the clock that it is given', async () => {
  let now = 0;
  const channels = new Channels(createChannelLog({ maxBytes: 30, maxAgeMs: 100 }, () => now));
  const channel = channels.channel('a');
  for (const data of ['12', '34', '56', '78']) await channel.publish(data);
  expect(channels.stats()).toEqual({ streams: 0, events: 3, bytes: 30 });
  now = 101;
  channels.expire();
  expect(channels.stats()).toEqual({ streams: 0, events: 0, bytes: 0 });
});
