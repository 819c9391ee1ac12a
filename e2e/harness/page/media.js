// What one PeerConnection receives and sends, as a test wants to see it.

// Sinks plays received tracks, by mid, so that the browser decodes them and pictures can be looked at.
export class Sinks {
  elements = new Map();

  play(mid, track) {
    if (this.elements.has(mid)) return;
    const element = document.createElement(track.kind);
    element.autoplay = true;
    element.playsInline = true;
    element.srcObject = new MediaStream([track]);
    element.requestVideoFrameCallback?.(now => { element.firstFrame = now; });
    document.body.append(element);
    this.elements.set(mid, element);
  }

  // picture looks at the frame on display: its size, and how much its pixels differ (standard deviation of the luma,
  // 0 for a blank frame). The sum of its pixels tells two frames apart.
  picture(mid) {
    const video = this.elements.get(mid);
    const [width, height] = [video?.videoWidth ?? 0, video?.videoHeight ?? 0];
    if (!width) return { width, height, contrast: 0, sum: 0 };
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext('2d');
    context.drawImage(video, 0, 0);
    const pixels = context.getImageData(0, 0, width, height).data;
    let sum = 0, squares = 0;
    for (let i = 0; i < pixels.length; i += 4) {
      const luma = 0.299 * pixels[i] + 0.587 * pixels[i + 1] + 0.114 * pixels[i + 2];
      sum += luma;
      squares += luma * luma;
    }
    const count = pixels.length / 4;
    return { width, height, contrast: Math.sqrt(Math.max(0, squares / count - (sum / count) ** 2)), sum: Math.round(sum) };
  }

  // firstFrame says when the mid's first frame came on display, on the page's clock in milliseconds.
  firstFrame(mid) {
    return this.elements.get(mid)?.firstFrame;
  }
}

// inbound gives what is received on a mid (RTCInboundRtpStreamStats), with the codec's name and line. Nothing yet is {}.
export async function inbound(pc, mid) {
  const report = await pc.getStats();
  for (const stats of report.values()) {
    if (stats.type === 'inbound-rtp' && stats.mid === mid) return withCodec(report, stats);
  }
  return {};
}

// outbound gives what is sent on a mid, one for each encoding, with the number of frames that the camera gave.
export async function outbound(pc, mid) {
  const report = await pc.getStats();
  return [...report.values()].filter(s => s.type === 'outbound-rtp' && s.mid === mid)
    .map(s => ({ ...withCodec(report, s), framesCaptured: report.get(s.mediaSourceId)?.frames }));
}

function withCodec(report, stats) {
  const codec = report.get(stats.codecId);
  return { ...stats, codec: codec?.mimeType.split('/')[1], fmtp: codec?.sdpFmtpLine ?? '', payloadType: codec?.payloadType };
}

// path gives the two ends of the selected candidate pair.
export async function path(pc) {
  const report = await pc.getStats();
  for (const stats of report.values()) {
    if (stats.type !== 'transport' || !stats.selectedCandidatePairId) continue;
    const pair = report.get(stats.selectedCandidatePairId);
    return { ...stats, pair, local: report.get(pair.localCandidateId), remote: report.get(pair.remoteCandidateId) };
  }
  return {};
}

// everything is all of getStats, for the record of a failed test.
export async function everything(pc) {
  return [...(await pc.getStats()).values()];
}
