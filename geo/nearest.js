// nearest.js finds the node of a Cardea mesh that serves this browser best. It is one file without dependencies, and every node
// serves it:
//
//   import { nearest } from 'https://media.example.org:9643/nearest.js';
//   const { server, iceServers } = await nearest({ room: 1234 });
//   new Janus({ server, iceServers, ... });
//
// A node tells which nodes are likely to be good, by the address of this browser, their load and where the others of the room
// are (GET /nearest); the first three of them are then asked at the same time how far they are, and the best is taken. Nodes that
// do not answer cost no more time than the one that does needs to. Where nothing tells where this browser is, more nodes are asked, from
// all over the world, and then those around the best of them.

/**
 * @typedef {object} Node
 * @property {string} id       unlike any other node's, for as long as it has its data directory
 * @property {string} name
 * @property {string} region
 * @property {string[]} janus  URLs of the Janus API, the best first
 * @property {string} probe    what to fetch to see how far it is
 * @property {RTCIceServer[]} ice_servers  its TURN server, if it is one, with credentials that soon expire
 * @property {number} rtt_ms   round trip: measured by [probe], until then the mesh's estimate
 * @property {number} extra_ms what counts beside it: load, and the way on to the others in the room
 * @property {boolean} measured rtt_ms was measured from here; false: it is an estimate
 * @property {boolean} [silent]   it was asked, and did not answer in time
 */

/**
 * @typedef {object} Options
 * @property {string|string[]} [url]  where to ask: /nearest of any nodes, the next one if one does not answer. Default: the node that
 *                                    this module came from
 * @property {string|number} [room]   a VideoRoom that is going to be joined: nodes near to those in it are better
 * @property {string} [hint]          where this client is, if its address does not tell: LATITUDE,LONGITUDE, a region, or the id or
 *                                    name of a node
 * @property {boolean} [stays]        this client goes nowhere now: it is counted at no node, and gets no credentials
 * @property {number} [probes]        how many nodes are asked at a time; by default what the list says, which is 3 for a browser of which is
 *                                    known well where it is
 * @property {number} [spread]        by how many ms two nodes may differ for the one that comes first in the list to be as good, so that not all
 *                                    clients of a city take the same one; by default what the list says
 * @property {number} [deadline]      for how long, in ms, each of these waits: for the list, and for probes; 3000
 * @property {AbortSignal} [signal]   ends it all
 */

/** Thrown when no node could tell which nodes there are, or when none of them takes clients. */
export class NearestError extends Error {
  name = 'NearestError';
}

/**
 * nearest returns the best node.
 *
 * @param {Options} [options]
 * @returns {Promise<{node: Node, nodes: Node[], server: string[], iceServers: RTCIceServer[], expires: number}>}
 *   node, and all nodes in the order in which they should be tried; server as janus.js takes it, with the URLs of all of them in
 *   this order; node's ICE servers; and when their credentials expire, in ms since 1970.
 */
export async function nearest(options = {}) {
  const found = await list(options);
  const expires = Date.now() + found.ttl_s * 1000;
  const how = { ...options, probes: options.probes ?? found.probes, spread: options.spread ?? found.spread_ms };
  let nodes = await order(found.nodes, how);
  if (!found.client?.by) nodes = await instead(nodes, how);
  if (!found.client?.by && nodes[0].measured && found.nodes.length > found.probes) {
    const around = await list({ ...options, hint: nodes[0].id }).catch(() => null); // one list is enough
    options.signal?.throwIfAborted();
    const measured = new Map(nodes.filter(n => n.measured).map(n => [n.id, n.rtt_ms]));
    const merged = around?.nodes.map(n => (measured.has(n.id) ? { ...n, rtt_ms: measured.get(n.id), measured: true } : n));
    if (merged) nodes = await order(merged, { ...how, probes: options.probes ?? around.probes });
  }
  return { node: nodes[0], nodes, server: nodes.flatMap(n => n.janus), iceServers: nodes[0].ice_servers ?? [], expires };
}

// instead asks others of their regions in place of nodes that were asked and are silent: each of these was to speak for its own.
async function instead(nodes, how) {
  const measured = nodes.filter(n => n.measured);
  const asked = new Set(measured.map(n => n.region));
  const others = new Map(); // by region
  for (const n of nodes) {
    if (!n.measured && !n.silent && !asked.has(n.region) && !others.has(n.region)) others.set(n.region, n);
  }
  if (measured.length === 0 || others.size === 0 || !nodes.some(n => n.silent && others.has(n.region))) return nodes;
  const next = [...measured, ...others.values()];
  return order([...next, ...nodes.filter(n => !next.includes(n))], { ...how, probes: others.size });
}

/**
 * list asks which nodes there are, the probably best first.
 *
 * @param {Options} [options]
 * @returns {Promise<{nodes: Node[], probes: number, spread_ms: number, ttl_s: number, client: {by: string}}>}
 *   client.by tells how the node knows where this browser is: "hint", "address", or "" if it does not
 */
export async function list(options = {}) {
  const { url = new URL('./nearest', import.meta.url).href, room, hint, stays, deadline = 3000, signal } = options;
  const stop = within(deadline, signal);
  const ask = async where => {
    const query = new URL(where, globalThis.location?.href);
    if (room !== undefined) query.searchParams.set('room', String(room));
    if (hint !== undefined) query.searchParams.set('hint', hint);
    if (stays) query.searchParams.set('stays', '1');
    if (globalThis.location?.protocol === 'https:') query.searchParams.set('secure', '1');
    const response = await fetch(query, { cache: 'no-store', credentials: 'omit', signal: stop.signal });
    if (!response.ok) throw new NearestError(`${query.host}: ${response.status} ${(await response.text()).trim()}`);
    const answer = await response.json();
    if (!Array.isArray(answer.nodes) || answer.nodes.length === 0) throw new NearestError(`${query.host}: no node takes clients`);
    return answer;
  };
  try {
    return await oneByOne([url].flat(), ask, deadline / 4);
  } finally {
    stop.done();
  }
}

/**
 * order measures how far the first nodes of a list are, and returns it with those that answered first, the best of them first.
 * If none answers the next ones are asked, and so on; if none at all does, the list stays as it was. Nodes that were measured already
 * are not asked again.
 *
 * @param {Node[]} nodes
 * @param {Options} [options]
 * @returns {Promise<Node[]>}
 */
export async function order(nodes, options = {}) {
  const { spread = 0, deadline = 3000, signal } = options;
  const probes = Math.max(Math.trunc(options.probes ?? 3), 1) || 3;
  const silent = [];
  const rest = nodes.filter(n => !n.measured);
  for (let i = 0; i === 0 || i < rest.length; i += probes) {
    const asked = new Set(rest.slice(i, i + probes));
    const group = nodes.filter(n => n.measured || asked.has(n));
    const measured = await race(group, spread, deadline, signal);
    const answered = measured.filter(n => n.measured);
    const best = Math.min(...answered.map(cost));
    // sort is stable: those that are as good as the best stay in the order of the list, in which clients are dealt out.
    answered.sort((a, b) => Math.max(cost(a), best + spread) - Math.max(cost(b), best + spread));
    silent.push(...measured.filter(n => !n.measured).map(n => ({ ...n, silent: true })));
    if (answered.length > 0) return [...answered, ...rest.slice(i + probes), ...silent];
  }
  return nodes;
}

/** cost is what nodes are compared by, in ms. */
export const cost = node => node.rtt_ms + node.extra_ms;

// A probe is two requests: the first one opens the connection, the second one is timed. Nothing is that takes less than so many round trips.
const roundTrips = 3;
// A node is given up when it would have to be so much better than it seems by now. Less would be hasty: names must be looked up,
// and browsers queue.
const patience = 3;

// race probes nodes at the same time and returns copies of them, with what was measured. It ends when all have answered, or when those
// that have not can no longer be as good as the best.
async function race(nodes, spread, deadline, signal) {
  const stop = within(deadline, signal);
  const began = performance.now();
  const results = nodes.map(node => ({ ...node }));
  const pending = new Set(results);
  let finish;
  const finished = new Promise(resolve => { finish = resolve; });
  let timer;
  const look = () => {
    clearTimeout(timer);
    const best = Math.min(...results.filter(n => n.measured).map(cost));
    const elapsed = performance.now() - began;
    // When each of those that are silent is out of the race: later than that even its round trip alone is too long.
    const ends = [...pending].map(n => (best + spread - n.extra_ms) * roundTrips * patience);
    const wait = Math.max(...ends) - elapsed;
    if (pending.size === 0 || wait <= 0) finish();
    else if (Number.isFinite(wait)) timer = setTimeout(look, wait);
  };
  for (const node of results) {
    if (node.measured) pending.delete(node);
  }
  look();
  for (const node of pending) {
    probe(node, { signal: stop.signal }).then(
      rtt => Object.assign(node, { rtt_ms: rtt, measured: true }),
      () => {}, // it does not answer: it is not measured
    ).finally(() => {
      pending.delete(node);
      look();
    });
  }
  await finished;
  clearTimeout(timer);
  stop.done();
  signal?.throwIfAborted();
  return results.map(node => ({ ...node })); // what comes late changes nothing
}

/**
 * probe measures the round trip to a node, in ms. It rejects when the node does not answer or takes no clients.
 *
 * @param {Node} node
 * @param {{signal?: AbortSignal}} [options]
 * @returns {Promise<number>}
 */
export async function probe(node, { signal } = {}) {
  let began;
  for (let i = 0; i < 2; i++) {
    began = performance.now();
    const response = await fetch(node.probe, { cache: 'no-store', credentials: 'omit', signal });
    await response.arrayBuffer(); // or the connection is not free for the next one
    if (!response.ok) throw new NearestError(`${node.name}: ${response.status}`);
  }
  return performance.now() - began;
}

// For how long follow waits for an answer that a node holds back for 50 s, for one that it does not, and for one before others are asked, in ms.
const watchAtMost = 65_000, signOfLife = 2000, hesitation = 300;
// What a reverse proxy answers when there is nobody behind it.
const nobody = [502, 504];
// How long those are remembered that may be asked when the own one is gone, in ms, and of how many regions.
const rememberFor = 300_000, regions = 4;

/**
 * follow keeps a client at a node that serves it. Whenever its node says that the client should be elsewhere, because the node or the one that
 * has its media is about to end, open is called with the best node then, and close when that is done: there is no gap. It is called as
 * well when the node is gone, and others are not: it does not answer any more, while another one tells where to go. When open
 * fails everything stays as it is, and is tried again. It returns when signal is aborted.
 *
 *   const found = await nearest({ room: 1234 });
 *   let call = await enter(found.server);
 *   await follow({ node: found.node, room: 1234, session: () => call.janus.getSessionId(),
 *     open: async ({ server }) => { const former = call; call = await enter(server); return former; },
 *     close: former => setTimeout(() => former.janus.destroy(), 3000) }); // others turn to the new one meanwhile
 *
 * @param {Options & {node: {probe: string}|(() => {probe: string}), session: () => (string|number|null),
 *   open: (found: Awaited<ReturnType<typeof nearest>>, gone: boolean) => any, close: (opened: any) => any, trouble?: EventTarget}} options
 *   node: as nearest returned it, or a function that tells at which one the client is, for clients that also move by themselves;
 *   session: gives the id of the Janus session in use; open: has everything flow at a new session, and
 *   returns something for close, which ends the former session; gone says that nothing is to be expected of that one; trouble: its
 *   `trouble` events say that the client does not hear from its node, and have it looked after at once. Without them a node that
 *   falls silent, but does not refuse connections, is found gone after a minute
 */
export async function follow({ node, session, open, close, trouble, ...options }) {
  const { signal } = options;
  const beside = (at, path) => new URL(path, new URL(at.probe, globalThis.location?.href)).href;
  const own = [options.url ?? new URL('./nearest', import.meta.url).href].flat();
  const lists = (...all) => [...new Set([...all.map(n => beside(n, 'nearest')), ...own])];
  const where = typeof node === 'function' ? node : () => node;
  let at = where(), others = [], asked = -Infinity, missing = false, failures = 0;
  const remember = nodes => {
    others = refuges(nodes.filter(n => n.probe !== at.probe));
    asked = performance.now();
  };
  while (!signal?.aborted) {
    const watch = within(0, signal);
    trouble?.addEventListener('trouble', watch.done);
    try {
      const now = where(), moved = now.probe !== at.probe, knew = missing && !moved;
      at = now;
      missing = knew;
      if (!knew && (moved || performance.now() - asked > rememberFor)) {
        const known = await list({ ...options, url: lists(at), stays: true, signal: watch.signal }).catch(() => null);
        if (known) remember(known.nodes);
      }
      const move = knew ? null : await told(beside(at, 'nearest/watch'), session(), watch.signal).catch(() => null);
      if (where().probe !== at.probe) continue;
      if (move === false || knew && await answers(at, signal)) {
        missing = false;
        failures = 0;
        continue;
      }
      if (!move) {
        missing = knew || !await answers(at, signal, hesitation);
        if (!missing) throw new NearestError('it answers, but not as it should');
      }
      const found = await nearest({ ...options, url: move ? lists(at) : lists(...others) });
      if (!move) {
        if (!found.node.measured) throw new NearestError('no other node answers');
        missing = !await answers(at, signal); // the network works: now it must
        if (!missing) throw new NearestError('it was the network');
      }
      if (where().probe !== at.probe) continue;
      const opened = await open(found, missing);
      if (where === node) at = where();
      else node = at = found.node;
      remember(found.nodes);
      missing = false;
      failures = 0;
      await close(opened);
    } catch {
      await pause(Math.min(1000 * 2 ** failures++, missing ? 5000 : 30_000), watch.signal);
    } finally {
      trouble?.removeEventListener('trouble', watch.done);
      watch.done();
    }
  }
}

// refuges returns whom to ask when a node is gone: two of the nearest, not all clients the same one first, and one of each other region, since
// regions go as a whole, too.
function refuges(nodes) {
  const found = nodes.slice(0, 2).sort(() => Math.random() - 0.5);
  for (const n of nodes.slice(2)) {
    if (found.length < 2 + regions && found.every(f => f.region !== n.region)) found.push(n);
  }
  return found;
}

// answers tells whether a node gives a sign of life within so many ms. A proxy that says that there is nobody behind it is none.
async function answers(node, signal, ms = signOfLife) {
  const stop = within(ms, signal);
  try {
    const { status } = await fetch(node.probe, { cache: 'no-store', credentials: 'omit', signal: stop.signal });
    return !nobody.includes(status);
  } catch {
    return false;
  } finally {
    stop.done();
  }
}

// told waits until a node says that the client of a session should move; false when it has nothing to say for now.
async function told(where, session, signal) {
  const began = performance.now();
  let wait = 1000;
  if (session !== null && session !== undefined) {
    const stop = within(watchAtMost, signal);
    try {
      const response = await fetch(`${where}?session=${session}`, { cache: 'no-store', credentials: 'omit', signal: stop.signal });
      if (response.status === 200) return (await response.json()).move === true;
      if (nobody.includes(response.status)) throw new NearestError(`${where}: ${response.status}`);
      // A node that does not know the session cannot tell, now; and one that has too many who ask says when to ask again.
      if (response.status === 204) wait -= performance.now() - began;
      else wait = (Number(response.headers.get('Retry-After')) || 30) * 1000;
    } finally {
      stop.done();
    }
  }
  await pause(wait, signal);
  signal.throwIfAborted();
  return false;
}

// pause waits so many ms, give or take a few, since others wait as well.
function pause(ms, signal) {
  return new Promise(resolve => {
    const timer = setTimeout(done, ms * (0.8 + 0.4 * Math.random()));
    function done() {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    }
    if (signal?.aborted) done();
    else signal?.addEventListener('abort', done);
  });
}

// oneByOne calls f with each of a list, the next one when one fails or takes longer than patience, and returns what
// succeeds first.
function oneByOne(all, f, patience) {
  return new Promise((resolve, reject) => {
    let started = 0, failed = 0, timer;
    const errors = [];
    const next = () => {
      clearTimeout(timer);
      if (started === all.length) return;
      const item = all[started++];
      timer = setTimeout(next, patience);
      f(item).then(value => {
        clearTimeout(timer);
        started = all.length;
        resolve(value);
      }, err => {
        errors.push(err);
        if (++failed === all.length) {
          clearTimeout(timer);
          reject(errors.length === 1 ? err : new NearestError(errors.map(String).join('; '), { cause: errors }));
        } else next();
      });
    };
    next();
  });
}

// within is a signal for something that may take so many ms, 0 for as many as it likes, and ends with another signal. done ends it.
function within(ms, outer) {
  const own = new AbortController();
  const timer = ms > 0 && setTimeout(() => own.abort(new NearestError(`no answer within ${ms} ms`)), ms);
  const pass = () => own.abort(outer.reason);
  if (outer?.aborted) pass();
  outer?.addEventListener('abort', pass);
  return {
    signal: own.signal,
    done() {
      clearTimeout(timer);
      outer?.removeEventListener('abort', pass);
      own.abort(new NearestError('no longer needed'));
    },
  };
}
