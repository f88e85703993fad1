import { ask } from './chat.js';

const result = document.getElementById('trouble-result');
const prompt = document.getElementById('prompt');

async function make(trouble) {
  const response = await fetch(`/api/trouble/${trouble}`, { method: 'POST' });
  if (!response.ok) throw new Error(`the server answered ${response.status}`);
  return response.json();
}

function onClick(id, action) {
  document.getElementById(id).addEventListener('click', async () => {
    try {
      result.textContent = (await action()) ?? '';
    } catch (error) {
      result.textContent = `That went wrong in another way: ${error.message}`;
    }
  });
}

onClick('drop', async () => {
  const { dropped } = await make('drop');
  return `${dropped} ${dropped === 1 ? 'connection' : 'connections'} reset. The answer’s session is detached until the browser is back; the others end, and new ones begin.`;
});

onClick('slow-client', async () => {
  await make('slow-client');
  return 'It reads nothing. Watch “Waiting” in the list: first the kernel takes some megabytes, then the session’s buffer fills.';
});

for (const button of document.querySelectorAll('[data-fault]')) {
  onClick(button.id, () => ask(prompt.value.trim() || 'Anything', button.dataset.fault));
}
