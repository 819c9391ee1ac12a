// The web server that the pages under test come from. A page on a loopback address is a secure context: it gets a camera.
import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { once } from 'node:events';

const here = name => fileURLToPath(new URL(name, import.meta.url));

// files are what the site has: path and type.
export const files = {
  '/': [here('page/index.html'), 'text/html'],
  '/client.js': [here('page/client.js'), 'text/javascript'],
  '/peer.js': [here('page/peer.js'), 'text/javascript'],
  '/media.js': [here('page/media.js'), 'text/javascript'],
  '/janus.js': [fileURLToPath(import.meta.resolve('janus-gateway')), 'text/javascript'],
  '/adapter.js': [fileURLToPath(new URL('../out/adapter.js', import.meta.resolve('webrtc-adapter'))), 'text/javascript'],
};

// serve gives the address of the site and a function that closes it.
export async function serve() {
  const server = createServer(async (request, response) => {
    const file = files[request.url];
    if (!file) return response.writeHead(404).end();
    response.writeHead(200, { 'Content-Type': file[1] }).end(await readFile(file[0]));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    close: () => new Promise(resolve => {
      server.close(resolve);
      server.closeAllConnections();
    }),
  };
}
