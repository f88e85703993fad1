import { type EventSourceMessage, createParser } from 'eventsource-parser';

/** The events that a client would dispatch for a body. */
export function eventsOf(body: string): EventSourceMessage[] {
  const events: EventSourceMessage[] = [];
  createParser({ onEvent: (event) => events.push(event) }).feed(body);
  return events;
}

/** The `data` of the events of a body. */
export function dataOf(body: string): string[] {
  return eventsOf(body).map(({ data }) => data);
}

/** Reads a stream to its end. */
export async function readAll(url: string, init?: RequestInit): Promise<{ status: number; data: string[] }> {
  const response = await fetch(url, init);
  return { status: response.status, data: dataOf(await response.text()) };
}
