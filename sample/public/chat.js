// One answer at a time, over a real EventSource.

const transcript = document.getElementById('transcript');
const form = document.getElementById('ask');
const prompt = document.getElementById('prompt');
const send = document.getElementById('send');
const stop = document.getElementById('stop');

let running = null;

// crypto.randomUUID() is for pages from https or this machine only.
const newKey = () => Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(36)).join('-');

class Answer {
  key = newKey();
  text = '';
  ended = false;

  constructor(question, fault) {
    this.entry = this.addEntry(question);
    const query = new URLSearchParams({ prompt: question, answer: this.key, fault });
    this.source = new EventSource(`/api/chat/stream?${query}`);
    this.source.onopen = () => this.begin();
    this.source.onmessage = ({ data }) => this.append(data);
    this.source.onerror = (event) => this.fail(event);
    this.source.addEventListener('end', ({ data }) => this.end(JSON.parse(data).reason));
  }

  addEntry(question) {
    transcript.querySelector('.empty')?.remove();
    const entry = document.createElement('li');
    for (const [name, text] of [
      ['question', question],
      ['answer', ''],
      ['outcome', 'waiting for the first token'],
    ]) {
      const part = document.createElement('div');
      part.className = name;
      part.textContent = text;
      entry.append(part);
    }
    entry.dataset.key = this.key;
    entry.dataset.state = 'waiting';
    transcript.append(entry);
    transcript.scrollTop = transcript.scrollHeight;
    return entry;
  }

  show(state, outcome) {
    this.entry.dataset.state = state;
    this.entry.querySelector('.outcome').textContent = outcome;
  }

  // Called once more when the browser has come back after a cut. That is a new session, and the handler runs anew: so does the answer.
  begin() {
    this.text = '';
    this.entry.querySelector('.answer').textContent = '';
    this.show('streaming', 'streaming');
  }

  append(token) {
    const atEnd = transcript.scrollHeight - transcript.scrollTop - transcript.clientHeight < 40;
    this.text += token;
    this.entry.querySelector('.answer').textContent = this.text;
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
    this.error = 'refused before the first token';
    this.end('error');
  }

  end(reason) {
    if (this.ended) return;
    this.ended = true;
    this.source.close();
    this.show(reason, this.error === undefined ? reason : `${reason}: ${this.error}`);
    running = null;
    showRunning();
  }

  // Stopping is said to the server, not done by hanging up: a session that could be resumed would live on after a mere disconnect.
  async stop() {
    const response = await fetch(`/api/chat/${this.key}`, { method: 'DELETE' });
    // Nothing to stop: it was just between two connections. Without its EventSource it does not come back.
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
  running = new Answer(question, fault);
  showRunning();
}

// What an EventSource does not tell of a refusal, once the list of sessions has it.
export function explain(key, error) {
  const entry = [...transcript.children].find((one) => one.dataset.key === key);
  if (entry?.dataset.state === 'error') entry.querySelector('.outcome').textContent = `error: ${error}`;
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
