// Package wan puts oceans between processes on one machine: each site is a network namespace, and a link in this process
// carries the IP packets between them with the delay, jitter, loss, rate and cuts that it is told to have.
//
//	   namespace of eu                 this process                    namespace of us
//	┌──────────────────┐      ┌──────────────────────────────┐      ┌──────────────────┐
//	│ processes        │      │ eu > us: queue ─ loss ─ delay │      │ processes        │
//	│ 10.1.0.1 … .n    │ TUN  │ us > eu: queue ─ loss ─ delay │  TUN │ 10.2.0.1 … .n    │
//	│ fd00:1::1 … ::n  ├──────┤                              ├──────┤ fd00:2::1 … ::n  │
//	└──────────────────┘      └──────────────────────────────┘      └──────────────────┘
//
// A namespace has a loopback device, which joins the hosts of one site with no delay, and one TUN device, which leads to the
// link and nowhere else: there is no way to the host or to the world beyond, and what is sent there is refused by ICMP.
//
// A packet meets the parts of its direction in this order: partition or outage, MTU, the bottleneck (a rate behind a
// drop-tail queue), random loss, duplication, delay with jitter, and partition or outage again, where it arrives.
// Conditions say what each part does, and may change at any time. Every random decision comes from the topology's seed, the
// names of the two sites and the purpose, so the n-th packet of a direction meets the same fate in every run.
//
// The parts that decide (fabric, direction, lossModel, wander, the queue of events) are pure: they are told the time and read
// no clock, so tests run them in virtual time on any system. The rest needs Linux, root, /dev/net/tun, and the ip and
// nsenter commands; Supported says what is missing.
//
// One goroutine, the engine, reads the devices, runs the fabric and writes the devices. engine.mu guards the fabric and is held
// for one batch of packets at a time. Lock order: Network.mu, engine.mu, capture.mu.
package wan
