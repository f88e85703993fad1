// Tables in markdown.
import { BASELINE } from './contenders/index.mjs';

const row = (cells) => `| ${cells.join(' | ')} |`;
const table = (head, rows) => [row(head), row(head.map(() => '---')), ...rows.map(row)].join('\n');

export function loadTable({ load, size, medians }) {
  const columns = Object.entries(load.columns);
  const baseline = medians.get(BASELINE);
  const cell = (figures, name, { judged, digits }) => {
    const { median, all } = figures[name];
    const spread = all.length > 1 ? ` [${all[0].toFixed(digits)} to ${all.at(-1).toFixed(digits)}]` : '';
    const text = `${median.toFixed(digits)}${judged === 'none' ? '' : spread}`;
    if (judged === 'none' || !baseline || figures === baseline) return text;
    if (judged === 'ratio') return `${text} **${(median / baseline[name].median).toFixed(2)} x**`;
    const more = median - baseline[name].median;
    return `${text} **${more < 0 ? '' : '+'}${more.toFixed(digits)}**`;
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

export function profileTable(profiles, { sessions, turns }) {
  const parts = [...new Set(profiles.flatMap(([, figures]) => Object.keys(figures)))];
  const rows = profiles.map(([contender, figures]) => [
    contender,
    ...parts.map((part) => (figures[part] ?? 0).toFixed(2)),
    Object.values(figures)
      .reduce((sum, us) => sum + us, 0)
      .toFixed(2),
  ]);
  return `µs per event, ${sessions} sessions, ${turns} events, one a turn:\n\n${table(['', ...parts, 'together'], rows)}`;
}

export function heapTable(weighed) {
  const total = (bytes) => Object.values(bytes).reduce((sum, each) => sum + each, 0);
  const kinds = [...new Set(weighed.flatMap(([, bytes]) => Object.keys(bytes)))];
  const most = (kind) => Math.max(...weighed.map(([, bytes]) => bytes[kind] ?? 0));
  kinds.sort((a, b) => most(b) - most(a));
  const rows = [
    ...kinds.map((kind) => [kind, ...weighed.map(([, bytes]) => (bytes[kind] ?? 0).toFixed(0))]),
    ['together', ...weighed.map(([, bytes]) => total(bytes).toFixed(0))],
  ];
  return `Bytes per session:\n\n${table(['kind', ...weighed.map(([contender]) => contender)], rows)}`;
}
