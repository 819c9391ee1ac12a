// A Wire carries TCP connections to a node and can be cut, as networks are: with a reset, and without a goodbye.
import { connect, createServer } from 'node:net';
import { once } from 'node:events';

export class Wire {
  #sockets = new Set();

  // lay leads from a port of its own to a port of the node.
  static async lay(host, port) {
    const wire = new Wire();
    wire.server = createServer(near => {
      const far = connect(port, host);
      for (const [one, other] of [[near, far], [far, near]]) {
        wire.#sockets.add(one);
        one.pipe(other);
        one.on('error', () => other.destroy());
        one.on('close', () => { wire.#sockets.delete(one); other.destroy(); });
      }
    });
    wire.server.listen(0, '127.0.0.1');
    await once(wire.server, 'listening');
    return wire;
  }

  get url() { return `ws://127.0.0.1:${this.server.address().port}`; }

  // cut resets what is connected; new connections find their way.
  cut() {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  close() {
    this.cut();
    this.server.close();
  }
}
