import * as echarts from 'echarts';
import { contenders } from './contenders/index.mjs';

const WIDTH = 900;
const HEAD_HEIGHT = 30;
const PANELS = [
  { load: 'steady', column: 'one event a turn', title: 'Fan-out, one event a turn: µs of CPU per event' },
  { load: 'steady', column: 'bursts of 10', title: 'Bursts of 10 events a turn: µs of CPU per event' },
  { load: 'tokens', column: 'a token', title: 'Token streams: µs of CPU per token' },
  { load: 'steady', column: 'heap', title: 'Heap per open session: KB' },
  { load: 'churn', column: 'a session', title: 'A session opened and closed: µs of CPU' },
];
const PANEL_HEIGHT = 290;
const COLORS = { ours: '#e0234e', baseline: '#2f6f4f', other: '#9aa4b2' };

/** The chart of the README, as SVG; less is better in each panel. */
export function drawChart(results) {
  const panels = PANELS.map((panel) => ({ ...panel, medians: [...results[panel.load].medians].reverse() }));
  const chart = echarts.init(null, null, { renderer: 'svg', ssr: true, width: WIDTH, height: HEAD_HEIGHT + PANELS.length * PANEL_HEIGHT });
  const top = (n) => HEAD_HEIGHT + n * PANEL_HEIGHT;
  chart.setOption({
    animation: false,
    backgroundColor: '#ffffff',
    title: [
      {
        text: 'Less is better. Red: nestjs-sse-session; green: plain node:http',
        top: 8,
        left: 12,
        textStyle: { fontSize: 13, fontWeight: 'normal' },
      },
      ...panels.map(({ title }, n) => ({ text: title, top: top(n) + 8, left: 12, textStyle: { fontSize: 15 } })),
    ],
    grid: panels.map((_, n) => ({ top: top(n) + 36, height: PANEL_HEIGHT - 50, left: 190, right: 70 })),
    yAxis: panels.map(({ medians }, n) => ({
      gridIndex: n,
      type: 'category',
      data: medians.map(([name]) => name),
      axisTick: { show: false },
    })),
    xAxis: panels.map((_, n) => ({ gridIndex: n, type: 'value', show: false })),
    series: panels.map(({ medians, column }, n) => ({
      type: 'bar',
      xAxisIndex: n,
      yAxisIndex: n,
      data: medians.map(([name, figures]) => ({
        value: Number(figures[column].median.toFixed(2)),
        itemStyle: { color: COLORS[contenders[name].kind] },
      })),
      label: { show: true, position: 'right', formatter: ({ value }) => value.toFixed(value < 100 ? 1 : 0) },
    })),
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return `${svg}\n`;
}
