import { watch } from './stream.js';

const SHOWN = 20;
const feed = document.getElementById('feed');
const form = document.getElementById('notify');
const input = document.getElementById('notification');
const seen = new Set();

function add({ text, at }) {
  const entry = document.createElement('li');
  const time = document.createElement('time');
  time.dateTime = new Date(at).toISOString();
  time.textContent = new Date(at).toLocaleTimeString();
  entry.append(time, text);
  feed.prepend(entry);
  while (feed.children.length > SHOWN) feed.lastChild.remove();
}

watch('notifications', () => '/api/notifications', {
  // A stream that begins anew begins with the last few: those that are here already are not shown again.
  notification(notification, lastEventId) {
    if (seen.has(lastEventId)) return;
    seen.add(lastEventId);
    add(notification);
  },
});

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  const text = input.value;
  input.value = '';
  await fetch('/api/notifications', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ text }),
  });
});
