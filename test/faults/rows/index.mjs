import { rows as deadPeers } from './dead-peers.mjs';
import { rows as disconnects } from './disconnects.mjs';
import { rows as hostile } from './hostile.mjs';
import { rows as memory } from './memory.mjs';

import { rows as proxies } from './proxies.mjs';
import { rows as resume } from './resume.mjs';
import { rows as shutdown } from './shutdown.mjs';
import { rows as time } from './time.mjs';

export const rows = [...deadPeers, ...disconnects, ...memory, ...resume, ...hostile, ...time, ...shutdown, ...proxies];
