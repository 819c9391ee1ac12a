// Janode, Meetecho's library for application servers. It imports a native module for Unix sockets, which would want a
// compiler; these tests talk over WebSockets, so that module is left empty.
import { register } from 'node:module';

const hooks = `
  export const resolve = (specifier, context, next) => specifier === 'unix-dgram'
    ? { url: 'data:text/javascript,export const createSocket = null', shortCircuit: true }
    : next(specifier, context);`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`);

const { default: Janode } = await import('janode');
const { default: VideoRoom } = await import('janode/plugins/videoroom');
const { default: EchoTest } = await import('janode/plugins/echotest');

export { EchoTest, Janode, VideoRoom };
