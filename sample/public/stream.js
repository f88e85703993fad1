// A stream that belongs to the page as a whole: open while the page can be seen, and only once in a browser.
//
// A browser has six HTTP/1.1 connections to one host, for all its tabs together. So one of the tabs that can be seen has the connection, and
// hands what comes to the others; the seventh stream would be kept waiting for ever, and so would the click on Stop. (Over HTTP/2 there is
// no such limit.)
//
// After an error an EventSource comes back by itself, with the server's `retry:` in mind. So nothing here makes a new one in `onerror`.

// A page from http that is not of this machine has no locks: there every tab has its own connections.
const locks = navigator.locks ?? { request: (_name, _options, hold) => hold() };

/** @param url gives the URL, each time that a connection is begun anew */
export function watch(name, url, listeners) {
  const status = document.querySelector(`[data-stream="${name}"]`);
  const tabs = new BroadcastChannel(`stream ${name}`);
  let turn = null;
  let source = null;

  function show(state) {
    status.dataset.state = state;
    status.textContent = state;
  }

  function take({ type, data, lastEventId }) {
    listeners[type](data, lastEventId);
  }

  function connect() {
    source = new EventSource(url());
    source.onopen = () => show('live');
    source.onerror = ({ target }) => show(target.readyState === EventSource.CONNECTING ? 'reconnecting' : 'refused');
    for (const type of Object.keys(listeners)) {
      source.addEventListener(type, ({ data, lastEventId }) => {
        const event = { type, data: JSON.parse(data), lastEventId };
        take(event);
        tabs.postMessage(event);
      });
    }
  }

  // The lock is held until this settles.
  async function hold({ signal }) {
    if (signal.aborted) return;
    show('connecting');
    connect();
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
    source.close();
    source = null;
  }

  function open() {
    const mine = (turn = new AbortController());
    show('shared');
    // Who is hidden before its turn has come waits no longer, which rejects.
    Promise.resolve(locks.request(`stream ${name}`, { signal: mine.signal }, () => hold(mine))).catch(() => undefined);
  }

  function close() {
    turn?.abort();
    turn = null;
    show('paused');
  }

  tabs.onmessage = ({ data }) => take(data);
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) close();
    else if (turn === null) open();
  });
  if (!document.hidden) open();

  return {
    /** Begins anew, if it is this tab that has the connection. */
    reconnect() {
      source?.close();
      if (source !== null) connect();
    },
  };
}
