// Decorators without a compiler: what tsc makes of them.
export function decorate(target, name, parameters, ...decorators) {
  parameters.forEach((parameter, index) => parameter(target, name, index));
  const descriptor = Object.getOwnPropertyDescriptor(target, name);
  for (const decorator of decorators) decorator(target, name, descriptor);
  Object.defineProperty(target, name, descriptor);
}
