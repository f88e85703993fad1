import type { Type } from '@nestjs/common';
import type { ModuleRef } from '@nestjs/core';

/**
 * Controllers as `this` of their hooks before a handler has run. A request-scoped one has no instance then: its hooks get `undefined`
 * until its handler runs.
 */
export class Controllers {
  readonly #known = new WeakMap<Type, { readonly instance: unknown }>();

  constructor(private readonly moduleRef: ModuleRef) {}

  find(type: Type): unknown {
    let known = this.#known.get(type);
    if (!known) {
      known = { instance: this.#lookUp(type) };
      this.#known.set(type, known);
    }
    return known.instance;
  }

  #lookUp(type: Type): unknown {
    try {
      return this.moduleRef.get<unknown>(type, { strict: false });
    } catch {
      // Nest's way to say that it is request-scoped or transient
      return undefined;
    }
  }
}
