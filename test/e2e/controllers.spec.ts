import { describe, expect, it } from '@jest/globals';
import {
  type CanActivate,
  Controller,
  type ExecutionContext,
  Get,
  Header,
  HttpCode,
  Inject,
  Injectable,
  Module,
  Param,
  Query,
  Req,
  Res,
  Scope,
  SetMetadata,
  Sse,
  type Type,
  UseGuards,
  VersioningType,
} from '@nestjs/common';
import { REQUEST, Reflector } from '@nestjs/core';
import {
  type CloseReason,
  CurrentSession,
  ManagedSse,
  SessionManager,
  SseSession,
  SseSessionModule,
  type SseSource,
} from 'nestjs-sse-session';
import { collect, createTestSession } from 'nestjs-sse-session/testing';
import { NEVER, type Observable, concat, map, of, timer } from 'rxjs';
import { describeEachAdapter } from '../support/apps.js';
import { readAll } from '../support/events.js';
import { eventually } from '../support/eventually.js';
import { connect } from '../support/raw-client.js';

interface Reply {
  header(name: string, value: string): unknown;
}

/** What hooks noted, by their `this`. */
const notes: string[] = [];
const note = (self: unknown, what: string) => notes.push(`${(self as { name?: string } | undefined)?.name ?? String(self)} ${what}`);

@Controller({ path: 'scoped', scope: Scope.REQUEST })
class ScopedController {
  static made = 0;
  readonly name: string;

  constructor(@Inject(REQUEST) private readonly request: { query: { user?: string } }) {
    ScopedController.made++;
    this.name = `scoped for ${this.request.query.user}`;
  }

  @ManagedSse<ScopedController>('greet', {
    onOpen() {
      note(this, 'open');
    },
    onCompletion(_session, reason) {
      note(this, reason);
    },
  })
  greet(): SseSource {
    return of(this.name);
  }

  @ManagedSse<ScopedController>('number/:n', {
    onCompletion(_session, reason) {
      note(this, reason);
    },
  })
  number(@Param('n', { transform: () => Promise.reject(new Error('no number')) }) n: number): SseSource {
    return of(n);
  }
}

abstract class BaseController {
  abstract readonly name: string;

  @ManagedSse<BaseController>('who', {
    onOpen() {
      note(this, 'open');
    },
    onCompletion(session, reason) {
      note(this, `${session.route} ${reason}`);
    },
  })
  who(): SseSource {
    return of(this.name);
  }
}

@Controller('left')
class LeftController extends BaseController {
  readonly name = 'left';
}

@Controller('right')
class RightController extends BaseController {
  readonly name = 'right';
}

@Controller('managed')
class ManagedOverride extends BaseController {
  readonly name = 'override';

  @ManagedSse('who')
  override who(): SseSource {
    return of(`${this.name} of who`);
  }
}

@Controller('plain')
class PlainOverride extends BaseController {
  readonly name = 'plain';

  @Get('who')
  override who(): SseSource {
    return of('never');
  }
}

@Controller('bare')
class BareOverride extends BaseController {
  readonly name = 'bare';

  override who(): SseSource {
    return of('never');
  }
}

/** Long after Nest would have answered. */
const later = (): SseSource => concat(of('at once'), timer(20).pipe(map(() => 'later')));

@Controller('parameters')
class ParametersController {
  @ManagedSse('default/:a')
  withDefault(@Param('a') a: string, b = 'the default', ...rest: unknown[]): SseSource {
    return of([a, b, rest]);
  }

  @ManagedSse('decorated/:a')
  withDecoratedDefault(@Param('a') a: string, @Query('b') b = 'the default'): SseSource {
    return of([a, b, arguments.length]);
  }

  @ManagedSse('rest')
  withRest(...rest: unknown[]): SseSource {
    return of(rest);
  }

  @ManagedSse('none')
  none(): SseSource {
    return of(arguments.length);
  }

  @ManagedSse('gap')
  withGap(a: unknown, @Query('b') b: string, c = 'c'): SseSource {
    return of([a === undefined, b, c]);
  }

  @ManagedSse('passthrough')
  withPassthrough(@Res({ passthrough: true }) reply: Reply, @CurrentSession() session: SseSession): SseSource {
    reply.header('X-Own', session.route);
    return later();
  }

  @ManagedSse('response')
  withResponse(@Res() reply: Reply, @Req() request: { url: string }): SseSource {
    reply.header('X-Own', request.url);
    return later();
  }
}

const ROLES = 'roles';
const seenRoles: unknown[] = [];

@Injectable()
class RolesGuard implements CanActivate {
  constructor(@Inject(Reflector) private readonly reflector: Reflector) {}

  canActivate(context: ExecutionContext): boolean {
    seenRoles.push(this.reflector.get(ROLES, context.getHandler()));
    return true;
  }
}

@Controller('decorated')
class DecoratedController {
  @UseGuards(RolesGuard)
  @SetMetadata(ROLES, 'above')
  @Header('X-Where', 'above')
  @HttpCode(202)
  @ManagedSse('above')
  above(): SseSource {
    return of('above');
  }

  @ManagedSse('below')
  @UseGuards(RolesGuard)
  @SetMetadata(ROLES, 'below')
  @Header('X-Where', 'below')
  @HttpCode(202)
  below(): SseSource {
    return of('below');
  }
}

@Controller({ path: 'paths', version: '1' })
class PathsController {
  @ManagedSse(':id/stream')
  byId(@Param('id') id: string, @CurrentSession() session: SseSession): SseSource {
    return of({ id, route: session.route });
  }

  @ManagedSse(['first', 'second'])
  several(@CurrentSession() session: SseSession): SseSource {
    return of(session.route);
  }

  @ManagedSse()
  root(@CurrentSession() session: SseSession): SseSource {
    return of(session.route);
  }
}

@Controller('shared')
class SharedController {
  readonly name = 'shared';

  @ManagedSse<SharedController>('waiting', {
    onCompletion(_session, reason) {
      note(this, reason);
    },
  })
  wait(): Promise<SseSource> {
    return new Promise<SseSource>(() => undefined);
  }

  @ManagedSse<SharedController>('piped/:n', {
    onError(_session, error) {
      note(this, (error as Error).message);
    },
  })
  piped(@Param('n', { transform: () => Promise.reject(new Error('no number')) }) n: number): SseSource {
    return of(n);
  }
}

describeEachAdapter('controllers', ({ startApp }) => {
  const start = (...controllers: Type[]) => {
    notes.length = 0;
    return startApp({ imports: [SseSessionModule.forRoot()], controllers });
  };

  it('runs a request-scoped controller, each request on an instance of its own, which is the this of its hooks', async () => {
    ScopedController.made = 0;
    const { url } = await start(ScopedController);
    expect((await readAll(`${url}/scoped/greet?user=ada`)).data).toEqual(['scoped for ada']);
    expect((await readAll(`${url}/scoped/greet?user=bob`)).data).toEqual(['scoped for bob']);
    await eventually(() => expect(notes).toHaveLength(4));
    expect(notes).toEqual(['scoped for ada open', 'scoped for ada complete', 'scoped for bob open', 'scoped for bob complete']);
    expect(ScopedController.made).toBe(2);
  });

  it('gives the hooks of a request-scoped controller no this when its handler never ran', async () => {
    const { url, app } = await start(ScopedController);
    app.useLogger(false);
    expect((await fetch(`${url}/scoped/number/1?user=ada`)).status).toBe(500);
    await eventually(() => expect(notes).toEqual(['undefined error']));
  });

  it('gives the hooks of a singleton its controller also before its handler has come back, and when it never ran', async () => {
    const { url, port, app } = await start(SharedController);
    app.useLogger(false);
    const client = await connect(port);
    client.request('GET', '/shared/waiting');
    await eventually(() => expect(app.get(SessionManager).size).toBe(1));
    await client.fin();
    await eventually(() => expect(notes).toEqual(['shared client-disconnect']));
    expect((await fetch(`${url}/shared/piped/1`)).status).toBe(500);
    await eventually(() => expect(notes).toEqual(['shared client-disconnect', 'shared no number']));
  });

  it('runs an inherited managed method on each subclass', async () => {
    const { url } = await start(LeftController, RightController);
    expect((await readAll(`${url}/left/who`)).data).toEqual(['left']);
    expect((await readAll(`${url}/right/who`)).data).toEqual(['right']);
    await eventually(() => expect(notes).toHaveLength(4));
    expect(notes).toEqual(['left open', 'left GET /left/who complete', 'right open', 'right GET /right/who complete']);
  });

  it('runs an override that is managed itself, with its own options', async () => {
    const { url } = await start(ManagedOverride);
    expect((await readAll(`${url}/managed/who`)).data).toEqual(['override of who']);
    expect(notes).toEqual([]);
  });

  it.each([PlainOverride, BareOverride])(
    'does not start with %p, which overrides a managed method with one that is not',
    async (controller) => {
      await expect(start(controller)).rejects.toMatchObject({
        name: 'SseSessionError',
        code: 'UNMANAGED_OVERRIDE',
        message: expect.stringContaining(`${controller.name}.who() overrides a method that BaseController decorates`) as unknown,
      });
    },
  );

  it('does not start with a method that is decorated with @Sse() too', async () => {
    @Controller('both')
    class BothController {
      @Sse('sse')
      @ManagedSse('managed')
      both(): Observable<{ data: string }> {
        return of({ data: 'a' });
      }
    }
    await expect(start(BothController)).rejects.toMatchObject({
      code: 'CONFLICTING_DECORATORS',
      message: expect.stringContaining('BothController.both() is decorated with both') as unknown,
    });
  });

  it('refuses a second @ManagedSse() on one method when the class is defined', () => {
    const define = () => {
      class TwiceController {
        @ManagedSse('one')
        @ManagedSse('two')
        twice(): SseSource {
          return of('a');
        }
      }
      return TwiceController;
    };
    expect(define).toThrow(/^@ManagedSse\(\) stands twice on TwiceController\.twice/);
    expect(define).toThrow(expect.objectContaining({ code: 'CONFLICTING_DECORATORS' }));
  });

  it.each([
    ['default/x', ['x', 'the default', []]],
    ['decorated/x', ['x', 'the default', 2]],
    ['decorated/x?b=y', ['x', 'y', 2]],
    ['rest', []],
    ['none', 0],
    ['gap?b=y', [true, 'y', 'c']],
  ])('leaves default and rest parameters as they are (%s)', async (path, expected) => {
    const { url } = await start(ParametersController);
    expect((await readAll(`${url}/parameters/${path}`)).data).toEqual([JSON.stringify(expected)]);
  });

  it.each([
    ['passthrough', 'GET /parameters/passthrough'],
    ['response', '/parameters/response'],
  ])('streams although the handler has a @Res() of its own (%s)', async (path, header) => {
    const { url } = await start(ParametersController);
    const response = await fetch(`${url}/parameters/${path}`);
    expect(response.status).toBe(200);
    expect(response.headers.get('x-own')).toBe(header);
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    expect(await response.text()).toMatch(/^retry: \d+\ndata: at once\n\ndata: later\n\n$/);
  });

  it.each(['above', 'below'])('goes with guards, metadata and headers that are decorated %s', async (where) => {
    seenRoles.length = 0;
    const { url } = await start(DecoratedController);
    const response = await fetch(`${url}/decorated/${where}`);
    expect(response.status).toBe(200);
    expect(response.headers.get('x-where')).toBe(where);
    expect(await response.text()).toContain(`data: ${where}\n`);
    expect(seenRoles).toEqual([where]);
  });

  it('has routes with the global prefix, the version and the parameter names', async () => {
    const { url } = await startApp({
      imports: [SseSessionModule.forRoot()],
      controllers: [PathsController],
      configure: (app) => {
        app.setGlobalPrefix('api');
        app.enableVersioning({ type: VersioningType.URI });
      },
    });
    expect((await readAll(`${url}/api/v1/paths/7/stream?x=1`)).data).toEqual(['{"id":"7","route":"GET /api/v1/paths/:id/stream"}']);
    expect((await readAll(`${url}/api/v1/paths/second`)).data).toEqual(['GET /api/v1/paths/second']);
    expect((await readAll(`${url}/api/v1/paths`)).data).toEqual(['GET /api/v1/paths']);
    expect((await fetch(`${url}/paths/7/stream`)).status).toBe(404);
  });

  it('runs the managed routes of a module that is imported where the session module is not, as that one is global', async () => {
    @Module({ controllers: [LeftController] })
    class FeatureModule {}
    const { url, app } = await startApp({ imports: [FeatureModule, SseSessionModule.forRoot()] });
    expect((await readAll(`${url}/left/who`)).data).toEqual(['left']);
    await eventually(() => expect(app.get(SessionManager).stats().endedByReason.complete).toBe(1));
  });
});

describe('a managed method', () => {
  class ChatController {
    readonly greeting = 'Hello';

    @ManagedSse<ChatController>(':name', {
      onCompletion(_session: SseSession, _reason: CloseReason) {
        throw new Error('no hook runs without a session');
      },
    })
    async *greet(@Param('name') name: string, @CurrentSession() session: SseSession, punctuation = '!'): AsyncGenerator<unknown> {
      yield this.greeting;
      yield `${name}${punctuation}`;
      yield session.route;
    }

    @ManagedSse('never')
    never(): SseSource {
      return NEVER;
    }
  }

  it('is the plain method when it is called without a request, as in a unit test', async () => {
    const controller = new ChatController();
    const events = await collect(controller.greet('Ada', createTestSession()));
    expect(events).toEqual([{ data: 'Hello' }, { data: 'Ada!' }, { data: 'GET /test' }]);
    expect(await collect(controller.greet('Bob', createTestSession({ route: 'GET /chat' }), '?'))).toEqual([
      { data: 'Hello' },
      { data: 'Bob?' },
      { data: 'GET /chat' },
    ]);
    expect(controller.never()).toBe(NEVER);
  });

  it('keeps its name, its length and the metadata that was set on it', () => {
    const Note = SetMetadata('note', 'kept');
    class Controller {
      @ManagedSse()
      @Note
      stream(_a: string, _b: string): SseSource {
        return NEVER;
      }
    }
    const { stream } = Controller.prototype;
    expect(stream.name).toBe('stream');
    expect(stream.length).toBe(2);
    expect(Reflect.getMetadata('note', stream)).toBe('kept');
  });

  it.each<[string, () => unknown, string]>([
    ['options in the place of the path', () => ManagedSse({ timeoutMs: 5 } as never), 'as its path'],
    ['an unknown option', () => ManagedSse('', { heartBeat: false } as never), 'option "heartBeat" is unknown'],
    ['a bad value', () => ManagedSse('', { timeoutMs: 0 }), 'option "timeoutMs" is 0; expected false to switch it off'],
    ['a hook that is no method', () => ManagedSse('', { onOpen: 'log' } as never), 'option "onOpen" is "log"'],
    ['a method that is none', () => ManagedSse('', { method: 'POST' } as never), 'option "method" is "POST"'],
    [
      'an option of the module',
      () => ManagedSse('', { cleanup: { intervalMs: 5 } } as never),
      'option "cleanup" is an object; expected nothing',
    ],
  ])('refuses %s where it is decorated, by its name', (_what, decorate, message) => {
    const declare = () => {
      const decorator = decorate() as MethodDecorator;
      class Controller {
        stream(): void {}
      }
      const descriptor = Object.getOwnPropertyDescriptor(Controller.prototype, 'stream') as PropertyDescriptor;
      decorator(Controller.prototype, 'stream', descriptor);
    };
    expect(declare).toThrow(expect.objectContaining({ code: 'INVALID_OPTION', message: expect.stringContaining(message) as unknown }));
    expect(declare).toThrow('@ManagedSse() on Controller.stream');
  });
});
