// Package quality reckons what a user sees and hears from what the node sends and is told in return.
//
// A node sees packets leave, and what clients report of packets. From that follow, per line:
//
// # Pictures
//
// A picture is all packets of one timestamp. It is whole when each of them is known to have come, by the first of these that
// says so:
//
//   - transport-wide feedback (TWCC) says that the packet, or its retransmission, was received, and when;
//   - TWCC has passed the packet by without a word, because the message that spoke of it was lost, and the client has not asked
//     for it (NACK): then it came as fast as packets come;
//   - without TWCC, a receiver report's highest number has passed it, and the client has not asked for it: the same.
//
// Whole is not enough: pictures build upon each other. One is on display when it is whole and it is a keyframe, or all pictures of
// its temporal layer and below since the last one on display are. Those that it overtakes never are. Arrival times are the
// client's own, brought onto the node's clock by the fastest packet so far, which is taken to have needed half of the smallest
// round trip ([Arrivals]).
//
// The first frame is the time from a subscription (a publication, for what clients send) to the first picture on display. A
// subscription to what nobody publishes yet begins when somebody does.
//
// A stall is what Chromium's getStats counts as a freeze: two pictures on display further apart than both three times the mean
// distance of the last 30 and the mean plus 150 ms ([Freezes]). All of the distance counts as frozen. The share of time
// frozen is that over the time watched, which begins with the first picture. A gap during which nothing of the line
// came for 6 s is a pause to Chromium and to us, and is neither watched nor frozen.
//
// A browser holds pictures that come early, so that those that come late are in time, and hides as much of every gap. What is sent is
// taken to be on display so long after the fastest pictures arrive, or on arrival when that is later:
//
//	35 ms + mean lateness + max(2.33 s - 30 ms, 0)
//
// Lateness is behind the fastest picture, s is the standard deviation of how much later pictures arrive than the ones before, less what
// their timestamps are apart; both are over the last 400 that came without repair, and none counts for more than 15 s. That is what
// libwebrtc makes of pictures of one size; 35 ms is what Chromium takes where nothing varies ([Playout]). What a decoder takes
// beyond that is left out: its time is its machine's.
//
// # Sound
//
// MOS is that of the E-model (ITU-T G.107), with everything at its default but delay and loss:
//
//	R   = 93.2 - Id - Ie
//	Id  = 0.024 d + 0.11 (d - 177.3) [d > 177.3]        d = RTT/2 + 2 jitter + 40 ms (packet, codec, device)
//	Ie  = 95 Ppl / (Ppl + Bpl)                          Ppl: loss in per cent; Bpl: robustness of the codec, see bpl
//	MOS = 1 + 0.035 R + 7e-6 R (R - 60) (100 - R)       1 for R below 0, 4.5 above 100
//
// Loss and jitter are those of receiver reports: the client's for what is sent, ours, after repair, for what is received. Id is the
// usual approximation (Cole and Rosenbluth) of the standard's for a call without echo. G.107 was made for
// telephone sound: read it as a score that compares calls, not as a judgement of wideband sound.
//
// # How far this is known to be true
//
// Stalls and first pictures of what is sent are held against what Chromium counts, in the end-to-end tests: with and without transport-wide
// feedback on a path that fails, with it also on one on which delays vary by 80 ms. Browsers count nothing that the rest could be
// held against; it stands on this:
//
//   - What clients send is judged by when it comes to the node. Nobody watches there: the figures say what the way up did to a picture,
//     by the same rule, and viewers see these stalls with those of their own way added. Layers are judged one by one, and pictures as if
//     each stood alone, so that one which cannot be decoded counts as seen.
//   - Without transport-wide feedback a packet that is not asked for again counts as come, in half of the round trip. Delay that varies
//     is not seen: where it did by 80 ms, first pictures were said to be there up to 0.4 s too early, and stalls a sixth too long.
//   - MOS is a formula over loss and jitter as receivers report them. The formula is the standard's; how robust Opus and RED are, and what
//     jitter costs in delay, is our choice of numbers. What a browser hides of a loss is not known, nor whether anybody was speaking.
//   - Clients that report getStats themselves are believed, and counted apart.
//
// # Rooms
//
// A [Board] keeps the last minutes of everybody in every room, within bounds.
//
// All types are pure: times are handed in, nothing waits, nothing is safe for concurrent use but a Board. Nothing allocates per
// packet.
package quality
