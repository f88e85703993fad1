import { readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import v8 from 'node:v8';

/** What is alive on the heap, after a collection: bytes by kind. Objects of a class count with their own fields alone. */
export function bytesByKind() {
  const file = v8.writeHeapSnapshot(join(tmpdir(), `bench-${process.pid}.heapsnapshot`));
  const { snapshot, nodes, strings } = JSON.parse(readFileSync(file, 'utf8'));
  rmSync(file);
  const { node_fields: fields, node_types: types } = snapshot.meta;
  const [type, name, size] = ['type', 'name', 'self_size'].map((field) => fields.indexOf(field));
  const bytes = {};
  for (let at = 0; at < nodes.length; at += fields.length) {
    const kind = types[type][nodes[at + type]];
    const label = kind === 'object' ? strings[nodes[at + name]] : kind;
    bytes[label] = (bytes[label] ?? 0) + nodes[at + size];
  }
  return bytes;
}
