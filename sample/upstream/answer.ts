import { ALICE } from './alice.js';

const wordsOf = (text: string) => new Set(text.toLowerCase().match(/\p{L}{4,}/gu));

function sharedWords(prompt: Set<string>, paragraph: string): number {
  return [...wordsOf(paragraph)].filter((word) => prompt.has(word)).length;
}

/** Reads on from the paragraph that has most words in common with the prompt, the first one if none has. */
export function answerTo(prompt: string): string {
  const words = wordsOf(prompt);
  const scores = ALICE.map((paragraph) => sharedWords(words, paragraph));
  return ALICE.slice(scores.indexOf(Math.max(...scores))).join('\n\n');
}

/** Pieces as a tokenizer makes them: some four letters, with the white space that precedes them. Joined again they are the text. */
export function tokensOf(text: string): string[] {
  return text.match(/\s*\S{1,5}/gu) ?? [];
}
