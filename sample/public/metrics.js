import uPlot from '/uplot/uPlot.esm.js';
import { bytes } from './format.js';
import { watch } from './stream.js';

const WINDOW_SECONDS = 60;
const box = document.getElementById('chart');
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const timeOf = (tick) => new Date(tick * 1000).toLocaleTimeString([], { hour12: false });
const axis = {
  stroke: () => css('--muted'),
  grid: { stroke: () => css('--line'), width: 1 },
  ticks: { show: false },
  font: '11px system-ui',
};
const line = (label, color) => ({ label, stroke: () => css(color), fill: () => css(`${color}-fill`), width: 2, points: { show: false } });

const chart = new uPlot(
  {
    ...size(),
    legend: { show: false },
    cursor: { show: false },
    padding: [8, 8, 0, 0],
    scales: { x: { range: (_chart, _min, max) => [max - WINDOW_SECONDS, max] }, y: { range: [0, 100] } },
    axes: [
      { ...axis, size: 24, space: 90, values: (_chart, ticks) => ticks.map(timeOf) },
      { ...axis, size: 44, values: (_chart, ticks) => ticks.map((tick) => `${tick} %`) },
    ],
    series: [{}, line('CPU', '--cpu'), line('Memory', '--memory')],
  },
  [[], [], []],
  box,
);

function size() {
  return { width: box.clientWidth, height: box.clientHeight };
}

function show(id, text) {
  document.getElementById(id).textContent = text;
}

// The points that have left the window are forgotten.
let points = [];

watch('metrics', () => '/api/metrics', {
  figures({ at, cpuPercent, memoryPercent, processBytes, heapBytes, eventLoopMs }) {
    const now = at / 1000;
    points = [...points.filter(([time]) => time > now - WINDOW_SECONDS - 1), [now, cpuPercent, memoryPercent]];
    chart.setData([0, 1, 2].map((column) => points.map((point) => point[column])));
    box.dataset.points = points.length;
    show('cpu', `${cpuPercent.toFixed(0)} %`);
    show('memory', `${memoryPercent.toFixed(0)} %`);
    show('process-memory', `${bytes(processBytes)}, heap ${bytes(heapBytes)}`);
    show('event-loop', `${eventLoopMs.toFixed(1)} ms`);
  },
});

new ResizeObserver(() => chart.setSize(size())).observe(box);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => chart.redraw());
