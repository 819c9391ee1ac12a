// Where places of the earth are on the map, and the ways between them. Pure.
//
// The projection is Natural Earth's (Patterson, Jenny and Šavrič 2011, by its polynomials), 1,000 units wide; y grows to the
// south. world.js is drawn in it.

const radians = Math.PI / 180;
const scale = 182.78964407016807; // half the width is the equator's half
const north = 252.6780552576031; // 84 degrees north is the top

export const width = 1000;
export const height = 440; // to about 57 degrees south

// project returns [x, y] of a place in degrees.
export function project(lat, lon) {
  const p = lat * radians, p2 = p * p, p4 = p2 * p2;
  const x = lon * radians * (0.8707 - 0.131979 * p2 + p4 * (-0.013791 + p4 * (0.003971 * p2 - 0.001529 * p4)));
  const y = p * (1.007226 + p2 * (0.015085 + p4 * (-0.044475 + 0.028874 * p2 - 0.005916 * p4)));
  return [x * scale + width / 2, north - y * scale];
}

// arc is a way from one place to another as an SVG path in tenths of units: bent towards the nearer pole as the shortest way is, but
// less, which leaves room in the north; in two parts where it leaves the map at one side and comes back at the other.
export function arc(from, to) {
  const turn = ((to.lon - from.lon + 540) % 360) - 180; // the shorter way round
  const bend = 26 * Math.abs(turn) / 180 * Math.max(-1, Math.min(1, (from.lat + to.lat) / 50));
  const steps = Math.max(1, Math.ceil(Math.hypot(turn, to.lat - from.lat) / 7));
  let path = '', before = null;
  for (let i = 0; i <= steps; i++) {
    const t = i / steps, lat = from.lat + (to.lat - from.lat) * t + bend * Math.sin(Math.PI * t);
    let lon = from.lon + turn * t;
    if (Math.abs(lon) > 180) {
      lon -= 360 * Math.sign(lon);
      if (before && Math.abs(before.lon - lon) > 180) {
        const side = before.lon > 0 ? 180 : -180, edge = (before.lat + lat) / 2;
        path += `L${tenths(project(edge, side))}M${tenths(project(edge, -side))}`;
      }
    }
    path += `${before ? 'L' : 'M'}${tenths(project(lat, lon))}`;
    before = { lat, lon };
  }
  return path;
}

const tenths = ([x, y]) => `${Math.round(x * 10)} ${Math.round(y * 10)}`;

// ring puts those whose place nobody knows on an oval in the middle of the map, in order: { lat, lon } that only the map means.
export function ring(n) {
  return Array.from({ length: n }, (_, i) => {
    const turn = 2 * Math.PI * (i / n - 0.25);
    return { lat: 14 - 44 * Math.sin(turn), lon: 88 * Math.cos(turn) };
  });
}
