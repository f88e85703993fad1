import { watch } from './stream.js';

// What is shown is kept in the browser's storage, with the id of the last event: a tab that is opened later shows it too, and the one that
// has the connection asks for what came after it.

const SHOWN = 20;
const STORED = 'notifications';
const feed = document.getElementById('feed');
const form = document.getElementById('notify');
const topic = document.getElementById('topic');
const input = document.getElementById('notification');
const boxes = [...document.querySelectorAll('[name="topics"]')];

const nothingOf = (topics) => ({ topics, lastEventId: '', entries: [] });
const readStored = () => JSON.parse(localStorage.getItem(STORED)) ?? nothingOf(boxes.map(({ value }) => value));

let shown = readStored();

function line({ topic, text, at }) {
  const entry = document.createElement('li');
  const time = document.createElement('time');
  time.dateTime = new Date(at).toISOString();
  time.textContent = new Date(at).toLocaleTimeString();
  const label = document.createElement('span');
  label.className = 'topic';
  label.dataset.topic = topic;
  label.textContent = topic;
  entry.append(time, label, text);
  return entry;
}

function show() {
  feed.replaceChildren(...shown.entries.map(line));
  for (const box of boxes) {
    box.checked = shown.topics.includes(box.value);
    // A stream of no topic at all is none.
    box.disabled = box.checked && shown.topics.length === 1;
  }
}

function set(changes) {
  shown = { ...shown, ...changes };
  localStorage.setItem(STORED, JSON.stringify(shown));
  show();
}

function add(entry, lastEventId) {
  if (shown.entries.some(({ id }) => id === lastEventId)) return;
  set({ lastEventId, entries: [{ ...entry, id: lastEventId }, ...shown.entries].slice(0, SHOWN) });
}

function url() {
  const query = new URLSearchParams({ topics: shown.topics });
  if (shown.lastEventId !== '') query.set('lastEventId', shown.lastEventId);
  return `/api/notifications?${query}`;
}

const stream = watch('notifications', url, {
  notification: add,
  // The server cannot tell what this page has missed, or has it no longer. What it still has comes next.
  reset: (_reason, lastEventId) => add({ topic: 'reset', text: 'Something may be missing here.', at: Date.now() }, lastEventId),
});

for (const box of boxes) {
  box.addEventListener('change', () => {
    // Other topics are another stream, from the last few on.
    set(nothingOf(boxes.filter(({ checked }) => checked).map(({ value }) => value)));
    stream.reconnect();
  });
}

window.addEventListener('storage', ({ key }) => {
  if (key !== STORED) return;
  const { topics } = shown;
  shown = readStored();
  show();
  if (String(topics) !== String(shown.topics)) stream.reconnect();
});

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  const body = JSON.stringify({ topic: topic.value, text: input.value });
  input.value = '';
  await fetch('/api/notifications', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body });
});

show();
