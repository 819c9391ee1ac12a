// A Cardea node in a process of its own, on a loopback address of its own, with all its ports where a real one has them.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { access, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { until } from './until.js';

const program = process.env.CARDEA_BIN ?? fileURLToPath(new URL('../../bin/cardea', import.meta.url));

let started = 0;

// freshAddress gives loopback addresses that nobody else on this machine uses: the process's id is in them.
function freshAddress() {
  return `127.${64 + started++}.${(process.pid >> 8) & 255}.${process.pid & 255}`;
}

export class CardeaNode {
  #config; // file

  // start runs a node with the options of cardea.yaml on top of what every test needs; its files are kept in directory.
  static async start(directory, options = {}) {
    await access(program).catch(() => { throw new Error(`${program} is not there: build it with make`); });
    const node = new CardeaNode();
    node.address = freshAddress();
    node.log = join(directory, 'cardea.log');
    await mkdir(directory, { recursive: true });
    const config = {
      ...options,
      node: { bind: node.address, data_dir: join(directory, 'data'), ...options.node },
      log: { level: 'debug' },
      // Chromium keeps both processors busy, which is not what the node should judge its clients by.
      limits: { cpu: 0, scheduling_latency: '0s', ...options.limits },
    };
    node.#config = join(directory, 'cardea.yaml');
    await writeFile(node.#config, JSON.stringify(config, null, 1)); // JSON is YAML
    process.once('exit', () => node.child?.kill('SIGKILL')); // should the tests be broken off
    await node.run();
    return node;
  }

  // run starts the node, or starts it again after it was killed.
  async run() {
    this.child = spawn(program, ['run', '--config', this.#config], { stdio: ['ignore', 'ignore', 'pipe'] });
    this.child.stderr.pipe(createWriteStream(this.log, { flags: 'a' }));
    this.exited = once(this.child, 'exit');
    await until(`the node at ${this.address} is ready`, async () => {
      if (this.child.exitCode !== null) throw new Error(`cardea ended with ${this.child.exitCode}, see ${this.log}`);
      const answer = await fetch(`http://${this.address}:9600/readyz`).catch(() => null);
      return answer?.ok;
    });
  }

  // kill ends the node at once, as a crash does.
  async kill() {
    this.child.kill('SIGKILL');
    await this.exited;
  }

  get ws() { return `ws://${this.address}:8188`; }
  get http() { return `http://${this.address}:8088/janus`; }

  // stop ends the node as a service manager does. It must end well, and must have met no fault of its own before.
  async stop() {
    this.child.kill('SIGTERM');
    const [code] = await this.exited;
    const faults = (await readFile(this.log, 'utf8')).match(/^.*level=ERROR.*$/gm) ?? [];
    if (code !== 0 || faults.length > 0) throw new Error(`cardea ended with ${code}, see ${this.log}\n${faults.join('\n')}`);
  }

  // request asks the VideoRoom plugin something that it answers at once, over a session that ends with the question.
  async request(body) {
    const post = async (path, message) => {
      const answer = await fetch(this.http + path, {
        method: 'POST',
        body: JSON.stringify({ transaction: 'harness', ...message }),
      });
      const reply = await answer.json();
      if (reply.janus !== 'success') throw new Error(`${message.janus}: ${JSON.stringify(reply)}`);
      return reply;
    };
    const session = '/' + (await post('', { janus: 'create' })).data.id;
    const handle = session + '/' + (await post(session, { janus: 'attach', plugin: 'janus.plugin.videoroom' })).data.id;
    const reply = (await post(handle, { janus: 'message', body })).plugindata.data;
    await post(session, { janus: 'destroy' });
    if (reply.error) throw new Error(`${body.request}: ${reply.error}`);
    return reply;
  }

  // createRoom makes a room for up to ten publishers and gives its id.
  async createRoom(options = {}) {
    const { room } = await this.request({ request: 'create', publishers: 10, ...options });
    return room;
  }
}
