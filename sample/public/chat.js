// One answer at a time, over a real EventSource.
//
// The answer lives on the server, and tabs come and go. What was read of it is kept in the browser's storage, with the id of the last event:
// a page that is reloaded, and another tab, show that at once and go on from there.

const STORED = 'answer';
const WAITING = 'waiting for the first token';

const transcript = document.getElementById('transcript');
const form = document.getElementById('ask');
const prompt = document.getElementById('prompt');
const send = document.getElementById('send');
const stop = document.getElementById('stop');

const answers = new Map();
let running = null;

// crypto.randomUUID() is for pages from https or this machine only.
const newKey = () => Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(36)).join('-');

const readStored = () => JSON.parse(localStorage.getItem(STORED));

class Answer {
  source = null;

  constructor({ key, question, fault, text = '', lastEventId = '', state = 'waiting', outcome = WAITING }) {
    Object.assign(this, { key, question, fault, text, lastEventId });
    this.entry = this.addEntry();
    this.show(state, outcome);
    answers.set(key, this);
  }

  addEntry() {
    transcript.querySelector('.empty')?.remove();
    const entry = document.createElement('li');
    for (const [name, text] of [
      ['question', this.question],
      ['answer', this.text],
      ['outcome', ''],
    ]) {
      const part = document.createElement('div');
      part.className = name;
      part.textContent = text;
      entry.append(part);
    }
    entry.dataset.key = this.key;
    transcript.append(entry);
    transcript.scrollTop = transcript.scrollHeight;
    return entry;
  }

  show(state, outcome) {
    this.state = state;
    this.outcome = outcome;
    this.entry.dataset.state = state;
    this.entry.querySelector('.outcome').textContent = outcome;
  }

  // Not over the next question, which another tab may have asked already.
  save() {
    if (readStored()?.key === this.key) this.store();
  }

  store() {
    const { key, question, fault, text, lastEventId, state, outcome } = this;
    const isOver = running !== this;
    localStorage.setItem(STORED, JSON.stringify({ key, question, fault, text, lastEventId, ...(isOver && { state, outcome }) }));
  }

  // The same URL for who asks and for who comes to it later: the server knows the answer by its key. The key alone brings one to the
  // beginning of an answer that is under way; the id also to one that has ended meanwhile, and shows nothing twice.
  //
  // URLs are logged, and without a `principal` whoever reads such an id there could come back to the session. Here that takes the cookie of
  // the visitor who has asked, too, which no script can read and no log has: see visitor.ts.
  open() {
    running = this;
    const query = new URLSearchParams({ prompt: this.question, answer: this.key, fault: this.fault });
    if (this.lastEventId !== '') query.set('lastEventId', this.lastEventId);
    this.source = new EventSource(`/api/chat/stream?${query}`);
    this.source.onopen = () => this.showProgress();
    this.source.onmessage = ({ data, lastEventId }) => this.take(this.text + data, lastEventId);
    this.source.onerror = (event) => this.fail(event);
    // What is shown may have a gap: the server could not go on where it was, and begins again.
    this.source.addEventListener('reset', ({ lastEventId }) => this.take('', lastEventId));
    this.source.addEventListener('end', ({ data }) => this.end(JSON.parse(data).reason));
    showRunning();
  }

  showProgress() {
    if (this.text === '') this.show('waiting', WAITING);
    else this.show('streaming', 'streaming');
  }

  // The text and the id of its last event are kept together, so that whoever goes on from there neither misses nor repeats anything.
  take(text, lastEventId) {
    const atEnd = transcript.scrollHeight - transcript.scrollTop - transcript.clientHeight < 40;
    this.text = text;
    this.lastEventId = lastEventId;
    this.entry.querySelector('.answer').textContent = text;
    this.showProgress();
    this.save();
    if (atEnd) transcript.scrollTop = transcript.scrollHeight;
  }

  // Two things are called `error`: an event of the server's, which has data, and the EventSource's own, which has none.
  fail(event) {
    if (event.data !== undefined) {
      this.error = event.data;
      return;
    }
    if (this.source.readyState === EventSource.CONNECTING) {
      this.show('reconnecting', 'connection lost, coming back');
      return;
    }
    // A status other than 200. An EventSource does not tell which; the list of sessions shows the reason.
    this.error = 'refused';
    this.end('error');
  }

  end(reason) {
    if (running !== this) return;
    running = null;
    this.source.close();
    this.show(reason, this.error === undefined ? reason : `${reason}: ${this.error}`);
    this.save();
    showRunning();
  }

  // Stopping is said to the server, not done by hanging up: the session lives on after a mere disconnect. Every tab hears of it.
  async stop() {
    const response = await fetch(`/api/chat/${this.key}`, { method: 'DELETE' });
    // It has ended already, and this page could not hear of it yet.
    if ((await response.json()).stopped === 0) this.end('cancelled');
  }
}

function showRunning() {
  send.disabled = running !== null;
  stop.disabled = running === null;
  for (const button of document.querySelectorAll('[data-fault]')) button.disabled = running !== null || button.dataset.off === 'true';
}

export function ask(question, fault = 'none') {
  if (running !== null) return;
  const answer = new Answer({ key: newKey(), question, fault });
  answer.open();
  answer.store();
}

// Shows the answer that this page had before it was reloaded, or that another tab has asked for.
function showStored() {
  const stored = readStored();
  // A hidden tab has no connection to spare: it looks when it is looked at.
  if (document.hidden || running !== null || stored === null || answers.has(stored.key)) return;
  const answer = new Answer(stored);
  if (stored.state === undefined) answer.open();
}

// What an EventSource does not tell of a refusal, once the list of sessions has it.
export function explain(key, error) {
  const answer = answers.get(key);
  if (answer?.state === 'error') answer.show('error', `error: ${error}`);
}

form.addEventListener('submit', (event) => {
  event.preventDefault();
  ask(prompt.value);
});

prompt.addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  form.requestSubmit();
});

stop.addEventListener('click', () => running?.stop());

// Chromium tells an EventSource of a page that is being left that it has failed, which the answer has not. If Back shows the page again, it
// goes on.
window.addEventListener('beforeunload', () => running?.source.close());
window.addEventListener('pageshow', ({ persisted }) => persisted && running?.open());
document.addEventListener('visibilitychange', showStored);
window.addEventListener('storage', showStored);
showStored();
