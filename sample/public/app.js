import './chat.js';
import './metrics.js';
import './notifications.js';
import './sessions.js';
import './trouble.js';
