// quality.js tells a Cardea node what this browser's user sees and hears, from getStats. It is one file without dependencies, and
// every node serves it:
//
//   import { watch } from 'https://media.example.org:9643/quality.js';
//   const stop = watch(handle.webrtcStuff.pc, message => handle.send({ message })); // janus.js
//
// The node reckons the same by itself; what the browser says is kept beside that.

/**
 * watch reports every ten seconds, and as soon as the first picture of each line has been seen. It ends by itself with the connection.
 *
 * @param {RTCPeerConnection} pc
 * @param {(message: object) => void} send  sends a message to the VideoRoom handle that the connection belongs to
 * @param {object} [options]
 * @param {number} [options.every]  milliseconds between two reports, at least 2,000; default 10,000
 * @param {number} [options.since]  when the user began to wait, by performance.now(); default: now
 * @returns {() => void} ends it
 */
export function watch(pc, send, { every = 10_000, since = performance.now() } = {}) {
  const first = new Map(); // by mid: when the first picture was decoded, and whether that was told
  let before = null, at = since, due = since + Math.max(every, 2000), timer = 0, stopped = false;
  const look = async () => {
    const stats = pc.connectionState === 'closed' ? null : await pc.getStats().catch(() => null);
    if (stopped || !stats) return;
    const now = performance.now(), after = totals(stats);
    let waiting = false;
    for (const [mid, line] of after.lines) {
      if (!line.received || line.kind !== 'video') continue;
      waiting ||= line.frames === 0;
      if (line.frames === 0 || first.get(mid)?.told) continue;
      // The browser counts the time between the first picture and the latest, which is as old as pictures are apart at most:
      // of several looks, the earliest is the truest.
      const decoded = now - 1000 * line.watched;
      first.set(mid, { at: Math.min(decoded, first.get(mid)?.at ?? now), told: false });
    }
    const fresh = !waiting && [...first.values()].some(f => !f.told);
    if (now >= due || fresh && now - at >= 2000) {
      const message = report(before, after, now - at);
      for (const line of message.lines) {
        const seen = first.get(line.mid);
        if (seen && !seen.told) {
          line.first_frame_ms = rounded(Math.max(seen.at - since, 0));
          seen.told = true;
        }
      }
      if (message.lines.length > 0) send(message);
      before = after;
      at = now;
      due = now + Math.max(every, 2000);
    }
    timer = setTimeout(look, 500);
  };
  look();
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}

/**
 * totals takes out of a getStats report what is told, by mid.
 *
 * @param {RTCStatsReport} stats
 */
export function totals(stats) {
  const lines = new Map();
  let rtt;
  for (const s of stats.values()) {
    if (s.type === 'candidate-pair' && s.nominated && s.state === 'succeeded') rtt = s.currentRoundTripTime ?? rtt;
    const received = s.type === 'inbound-rtp';
    if (!received && s.type !== 'outbound-rtp' || s.mid === undefined) continue;
    const other = received ? s : stats.get(s.remoteId) ?? {};
    const line = lines.get(s.mid) ?? { received, kind: s.kind, packets: 0, lost: 0, frames: 0, watched: 0, frozen: 0, stalls: 0, jitter: 0 };
    const lost = Math.max(other.packetsLost ?? 0, 0);
    line.packets += received ? (s.packetsReceived ?? 0) + lost : s.packetsSent ?? 0;
    line.lost += lost;
    line.frames += (received ? s.framesDecoded : s.framesSent) ?? 0;
    line.watched += received ? s.totalInterFrameDelay ?? 0 : 0;
    line.frozen += s.totalFreezesDuration ?? 0;
    line.stalls += s.freezeCount ?? 0;
    line.jitter = Math.max(line.jitter, other.jitter ?? 0);
    lines.set(s.mid, line);
  }
  return { rtt, lines };
}

/**
 * report makes the message from the totals at its beginning (null: none) and at its end.
 */
export function report(before, after, span) {
  const message = { request: 'quality', span_ms: Math.round(Math.min(span, 600_000)), lines: [] };
  if (after.rtt !== undefined) message.rtt_ms = rounded(1000 * after.rtt);
  for (const [mid, now] of after.lines) {
    const was = before?.lines.get(mid);
    const grown = name => Math.max(now[name] - (was?.[name] ?? 0), 0);
    const packets = grown('packets');
    if (packets === 0 && grown('frames') === 0) continue;
    const line = { mid, packets, loss: packets > 0 ? Math.min(grown('lost') / packets, 1) : 0, jitter_ms: rounded(1000 * now.jitter) };
    if (now.kind === 'video') {
      line.frames = grown('frames');
      if (now.received) {
        line.watched_ms = rounded(Math.min(1000 * grown('watched'), 600_000));
        line.frozen_ms = rounded(Math.min(1000 * grown('frozen'), line.watched_ms));
        line.stalls = grown('stalls');
      }
    }
    message.lines.push(line);
    if (message.lines.length === 64) break; // as many as the node takes
  }
  return message;
}

const rounded = ms => Math.round(ms * 10) / 10;
