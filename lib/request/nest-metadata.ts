/*
 * Keys of Nest's own metadata. Nest exports them from paths that differ between its majors and are not public; the keys themselves have
 * been the same since Nest 5, and the tests on both majors would notice a change.
 */
export const INTERCEPTORS_METADATA = '__interceptors__';
export const SSE_METADATA = '__sse__';
export const ROUTE_ARGS_METADATA = '__routeArguments__';
export const RESPONSE_PASSTHROUGH_METADATA = '__responsePassthrough__';
