// A stream that belongs to the page as a whole: open while the page can be seen.
//
// A browser has six HTTP/1.1 connections to one host, for all its tabs together. A hidden tab gives its own back, so that the seventh
// stream is not kept waiting for ever. (Over HTTP/2 there is no such limit.)
//
// After an error an EventSource comes back by itself, with the server's `retry:` in mind. So nothing here makes a new one in `onerror`.
export function watch(name, url, listeners) {
  const status = document.querySelector(`[data-stream="${name}"]`);
  let source = null;

  function show(state) {
    status.dataset.state = state;
    status.textContent = state;
  }

  function open() {
    source = new EventSource(url);
    source.onopen = () => show('live');
    source.onerror = ({ target }) => show(target.readyState === EventSource.CONNECTING ? 'reconnecting' : 'refused');
    for (const [type, listener] of Object.entries(listeners)) {
      source.addEventListener(type, (event) => listener(JSON.parse(event.data), event));
    }
  }

  function close() {
    source?.close();
    source = null;
    show('paused');
  }

  show('connecting');
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) close();
    else if (source === null) open();
  });
  if (!document.hidden) open();
}
