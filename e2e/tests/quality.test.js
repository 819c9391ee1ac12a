// What the node reckons that a user sees, on a network that fails by a script, against what the user's own browser counted.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Regions, supported } from '../harness/regions.js';
import { on, second } from '../harness/seen.js';
import { grows, until } from '../harness/until.js';

const missing = supported();

// The network of the one who watches: what changes, and for how many milliseconds it stays. Each time that it is down, it is so for
// long enough that the picture stands still; what is lost between is repaired before it does.
const script = [
  ['', 2500],
  ['us>eu down=on', 900],
  ['us>eu down=off', 2500],
  ['us eu loss=4%', 2000],
  ['us eu loss=0', 1500],
  ['us>eu down=on', 1400],
  ['us>eu down=off', 2500],
  ['us>eu down=on', 700],
  ['us>eu down=off', 2500],
];

// Outages on a path on which delays vary, so that a browser holds pictures longer.
const unsteady = [
  ['us>eu delay=60ms jitter=40ms', 2500],
  ['us>eu down=on', 900],
  ['us>eu down=off', 2500],
  ['us>eu down=on', 1400],
  ['us>eu down=off', 2500],
];

// near says whether the node agrees with the browser within a tenth, or the least there is, whichever is more.
function near(what, node, browser, least) {
  const allowed = Math.max(browser / 10, least);
  assert.ok(Math.abs(node - browser) <= allowed, `${what}: the node says ${node}, the browser ${browser}: more than ${allowed} apart`);
}

const sum = (lines, name) => lines.flatMap(line => line.points).reduce((all, point) => all + (point[name] ?? 0), 0);

test('the node sees what the user sees', { skip: missing ? `no regions here: ${missing}` : false, timeout: 120_000 }, async t => {
  let regions, failed = true;
  const directory = await mkdtemp(join(tmpdir(), 'cardea-quality-'));
  t.after(async () => {
    await regions?.stop();
    if (!failed) await rm(directory, { recursive: true, force: true });
  });
  regions = await Regions.start(directory, 1, { sites: ['us'], options: { quality: { interval: '2s' } } });
  const [node] = regions.nodes;
  regions.set('us eu rtt=40ms jitter=0ms loss=0');
  const [speaker, viewer, plain] = await Promise.all(['us', 'eu', 'eu'].map(site => regions.client(site, node)));
  await speaker.attach('admin');
  await speaker.request('admin', { request: 'create', room: 7, publishers: 3 }, { videoroom: 'created' });
  const tracks = (await speaker.camera(320, 240)).filter(track => track.type !== 'data');
  const { id } = await speaker.publish(7, { tracks });
  await viewer.watch('sub', 7, [{ feed: id }]);
  await viewer.reportQuality('sub', `http://${node.address}:9600/quality.js`, 2000);
  await grows('frames decoded', () => on(viewer, 'sub').frames(1), second);
  await plain.withoutFeedback();
  await plain.watch('sub', 7, [{ feed: id }]);
  await grows('frames decoded', () => on(plain, 'sub').frames(1), second);
  const play = async script => {
    for (const [change, length] of script) {
      if (change) regions.set(change);
      await pause(length);
    }
  };
  await play(script);

  // compare holds the node's figures of a client against the client's own, when the network has failed so many times.
  const compare = async (name, client, failures = 3) => {
    const session = await client.sessionId(), handle = await client.handleId('sub');
    const stats = await on(client, 'sub').stats(1);
    const line = regions.ask(node, `/api/v1/peers/${session}/${handle}`).lines.find(l => l.kind === 'video');
    const firstFrame = await client.firstFrame('sub', '1') - await client.startedAt('sub');
    const frozen = 1000 * stats.totalFreezesDuration;
    t.diagnostic(`${name}: first frame, ms: node ${line.first_frame_ms}, browser ${firstFrame}`);
    t.diagnostic(`${name}: stalls: node ${line.stalls}, browser ${stats.freezeCount}; frozen, ms: node ${line.frozen_ms}, browser ${frozen}`);
    assert.ok(stats.freezeCount >= failures, `the network fails ${failures} times, but the browser counts ${stats.freezeCount}`);
    // A gap at the very limit may be a stall to one and none to the other; then so is its time.
    const event = Math.abs(line.stalls - stats.freezeCount) * frozen / stats.freezeCount;
    near(`${name}: first frame, ms`, line.first_frame_ms, firstFrame, 200);
    near(`${name}: stalls`, line.stalls, stats.freezeCount, 1);
    near(`${name}: frozen, ms`, line.frozen_ms, frozen, Math.max(event, 200));
    return { handle, line, stats, firstFrame, frozen };
  };
  const { handle, line, stats, firstFrame, frozen } = await compare('with transport-wide feedback', viewer);
  assert.ok(!await plain.page.evaluate(() => window.client.handles.sub.pc.localDescription.sdp.includes('transport-')));
  await compare('without', plain);

  // Operators see both: what the node reckons, and what the browser says of itself.
  const lines = source => regions.ask(node, '/api/v1/quality?room=videoroom/7').lines
    .filter(l => l.handle === handle && l.role === 'subscriber' && l.source === source && l.kind === 'video');
  const server = await until('the node has reported all', () => {
    const all = lines('server');
    return sum(all, 'stalls') === line.stalls && all;
  });
  near('first frame reported, ms', sum(server, 'first_frame_ms'), firstFrame, 200);
  near('frozen as reported, ms', sum(server, 'frozen_ms'), line.frozen_ms, 1);
  const client = await until('the browser has reported all', () => {
    const all = lines('client');
    return sum(all, 'stalls') >= stats.freezeCount && all;
  });
  near('frozen as the browser reported, ms', sum(client, 'frozen_ms'), frozen, 200);
  near('first frame as the browser reported, ms', sum(client, 'first_frame_ms'), firstFrame, 200);

  for (const former of [viewer, plain]) await former.page.close();
  const late = await regions.client('eu', node);
  await late.watch('sub', 7, [{ feed: id }]);
  await grows('frames decoded', () => on(late, 'sub').frames(1), second);
  await play(unsteady);
  await compare('where delays vary', late, 2);
  failed = false;
});
