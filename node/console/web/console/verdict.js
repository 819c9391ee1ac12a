// What counts as good, fair and bad, in one place. Pure.
import { count } from '../js/format.js';

const grade = (value, fair, bad) => (value >= bad ? 'bad' : value >= fair ? 'fair' : 'good');

// Loss before repair: the shield repairs some percent without a trace, at the price of bandwidth.
export const ofLoss = share => grade(share, 0.01, 0.03);
// Delay, round trip: two of these and the clients' own ways are what a conversation feels.
export const ofDelay = ms => grade(ms, 100, 200);
export const ofLoad = share => grade(share, 0.7, 0.9);
export const ofClientDelay = ms => grade(ms, 150, 300);
export const ofFrozen = share => grade(share, 0.005, 0.02);
export const ofMOS = mos => grade(-mos, -4, -3.5);

// atLeast is a number of things, of which there are more where not all nodes have told.
export const atLeast = (n, partial) => count(n) + (partial ? '+' : '');

export const lossOf = link => Math.max(link.loss_ab, link.loss_ba);

// ofLink judges a link by 'loss' or 'delay'.
export function ofLink(link, by) {
  if (link.stalled) return 'bad';
  return by === 'delay' ? ofDelay(link.rtt_ms) : ofLoss(lossOf(link));
}

// ofNode is what a node's mark says.
export function ofNode(node) {
  if (node.state !== 'ready') return 'leaving';
  if (!node.figures && !node.self) return 'silent';
  return ofLoad(node.load);
}

export const words = { good: 'ready', fair: 'busy', bad: 'full', leaving: 'draining', silent: 'does not answer' };
