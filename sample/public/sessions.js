import { explain } from './chat.js';
import { bytes, seconds } from './format.js';
import { watch } from './stream.js';

const rows = document.getElementById('session-rows');

function cell(text, className = '') {
  const td = document.createElement('td');
  td.textContent = text;
  td.className = className;
  return td;
}

function badge({ state, reason, error }) {
  const span = document.createElement('span');
  span.className = 'badge';
  span.dataset.state = reason ?? state;
  span.textContent = reason ?? state;
  if (error !== null) span.title = error;
  const td = document.createElement('td');
  td.append(span);
  return td;
}

function life({ openedAt, endedAt }, now) {
  return openedAt === null ? '–' : seconds(Math.max(0, (endedAt ?? now) - openedAt));
}

function row(session, now) {
  const tr = document.createElement('tr');
  tr.dataset.id = session.id;
  tr.dataset.route = session.route;
  tr.dataset.reason = session.reason ?? '';
  if (session.endedAt !== null) tr.className = 'ended';
  tr.append(
    cell(session.route, 'route'),
    cell(session.id.slice(0, 8), 'id'),
    badge(session),
    cell(session.endedAt === null ? session.connections : '', 'number clients'),
    cell(session.eventsSent, 'number'),
    cell(bytes(session.bytesSent), 'number'),
    cell(bytes(session.pendingBytes), 'number'),
    cell(life(session, now), 'number'),
    cell(session.mine ? 'yours' : '', 'mine'),
  );
  return tr;
}

function show(id, value) {
  document.getElementById(id).textContent = value ?? '–';
}

function showUpstream({ embedded, model, connections }) {
  show('model', embedded ? 'embedded upstream' : model);
  show('upstream-open', connections?.open);
  show('upstream-closed', connections?.closedByClient);
  document
    .getElementById('upstream-open')
    .closest('div')
    .classList.toggle('active', connections?.open > 0);
  for (const button of document.querySelectorAll('[data-fault]')) {
    // A real provider does not fail on demand.
    if (!embedded && button.dataset.off !== 'true')
      Object.assign(button, { disabled: true, title: 'only with the embedded upstream' }).dataset.off = 'true';
  }
}

watch('sessions', () => '/api/sessions', {
  board({ live, ended, upstream, answers }) {
    const now = Date.now();
    rows.replaceChildren(...[...live.reverse(), ...ended].map((session) => row(session, now)));
    show('live-count', live.length);
    show('answer-tokens', answers.tokens);
    showUpstream(upstream);
    for (const { key, error } of ended) if (key !== null && error !== null) explain(key, error);
  },
});
