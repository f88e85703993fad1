// Tables in markdown.
import { BASELINE } from './contenders/index.mjs';

const row = (cells) => `| ${cells.join(' | ')} |`;
const table = (head, rows) => [row(head), row(head.map(() => '---')), ...rows.map(row)].join('\n');

export function loadTable({ load, size, medians }) {
  const columns = Object.entries(load.columns);
  const baseline = medians.get(BASELINE);
  const cell = (figures, name, { judged, digits }) => {
    const value = figures[name];
    const text = value.toFixed(digits);
    if (judged === 'none' || !baseline || figures === baseline) return text;
    if (judged === 'ratio') return `${text} (${(value / baseline[name]).toFixed(2)} x)`;
    const more = value - baseline[name];
    return `${text} (${more < 0 ? '' : '+'}${more.toFixed(digits)})`;
  };
  const head = ['', ...columns.map(([name, { unit }]) => (unit ? `${name} (${unit})` : name))];
  const rows = [...medians].map(([contender, figures]) => [contender, ...columns.map(([name, kind]) => cell(figures, name, kind))]);
  return `## ${load.title}\n\n${load.describe(size)}\n\n${table(head, rows)}`;
}

export function scaleTable(figures) {
  const rows = figures.map(({ sessions, heartbeatUs, cleanupUs, timeoutUs }) => [
    sessions.toLocaleString('en'),
    ...[heartbeatUs, cleanupUs, timeoutUs].map((us) => us.toFixed(2)),
  ]);
  const head = ['sessions', 'a heartbeat', 'a look of the cleanup job', 'a timeout, to its onCompletion'];
  return `## Sessions in memory\n\nOne process, connections without sockets, a clock that is moved on: µs of CPU per session.\n\n${table(head, rows)}`;
}
