export function numbersItself(_source: unknown): boolean {
  return false;
}
