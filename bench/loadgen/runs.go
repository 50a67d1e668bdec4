package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"time"
)

// result is printed as a JSON object at the end of a run.
type result struct {
	options
	count
	ConnectSeconds float64 `json:"connect_seconds"`
	ReplaySeconds  float64 `json:"replay_seconds,omitempty"` // storm: from the first connection until all have every event
	RunSeconds     float64 `json:"run_seconds"`              // from the first event to the last delivery or answer
	Expected       uint64  `json:"expected"`
	Deliveries     uint64  `json:"deliveries"`
	Lost           uint64  `json:"lost"`
	SameOrder      *bool   `json:"same_order,omitempty"` // every subscriber saw the same events in the same order (one room)
	DeliveriesPerS float64 `json:"deliveries_per_s"`
	BytesPerS      float64 `json:"bytes_per_s"`
	PublishedPerS  float64 `json:"published_per_s"`
	AcceptedPerS   float64 `json:"accepted_per_s"` // events answered with 2xx after the warm-up
	PostsPerS      float64 `json:"posts_per_s"`
	Latency        *spread `json:"latency_ms,omitempty"`
	Answers        *spread `json:"post_ms,omitempty"`
	Late           *spread `json:"late_ms,omitempty"`   // how late this program was in posting
	GeneratorCPU   float64 `json:"generator_cpu"`       // share of a core that this program used; near 1, it was the bottleneck
	PerRead        float64 `json:"deliveries_per_read"` // well above 1 if events waited for this program or left the server together
	StillOpen      int     `json:"subscribers_still_open"`
}

const settle = 300 * time.Millisecond

// run opens the subscribers, runs the mode's load, waits until all events are delivered and returns the result.
func run(o options) (result, error) {
	g, err := newGenerator(o)
	if err != nil {
		return result{}, err
	}
	defer g.close()
	r := result{options: o}
	if o.Mode == "storm" {
		return r, g.storm(&r)
	}
	if r.ConnectSeconds, err = g.subscribeAll(); err != nil {
		return r, err
	}
	if err := g.rest(settle); err != nil {
		return r, err
	}
	if o.Mode == "soak" {
		return r, g.soak()
	}
	g.bytes, g.reads = 0, 0
	from, cpu := now(), cpuTime()
	g.measureFrom = from + int64(o.warmup*1e9)
	until := g.measureFrom + int64(o.Seconds*1e9)
	switch {
	case o.Mode == "idle":
		err = g.idle()
	case o.Rate > 0:
		err = g.paced(from, until)
	default:
		err = g.closedLoop(until)
	}
	if err == nil {
		err = g.drain()
	}
	cpu = cpuTime() - cpu
	g.fill(&r, from, cpu)
	return r, err
}

// storm publishes events, then connects all subscribers, each of which asks for all events, while it goes on publishing
// g.Rate events a second.
func (g *generator) storm(r *result) error {
	for range g.Events {
		if err := g.publish(g.freePublisher(), 0, now()); err != nil {
			return err
		}
		for g.busy == len(g.pubs) {
			if err := g.turn(10); err != nil {
				return err
			}
		}
	}
	if err := g.rest(settle); err != nil {
		return err
	}
	from, cpu := now(), cpuTime()
	g.measureFrom = from
	connected, err := g.subscribeWhile(1000, func() error {
		due := from + int64(float64(g.count.Published-uint64(g.Events))*1e9/g.Rate)
		if g.busy == len(g.pubs) || now() < due {
			return nil
		}
		return g.publish(g.freePublisher(), 0, due)
	})
	if err != nil {
		return err
	}
	r.ConnectSeconds = connected
	// Every event reaches every subscriber, whenever it was published.
	g.expected = g.count.Published * uint64(g.Subscribers)
	if err := g.drain(); err != nil {
		return err
	}
	g.fill(r, from, cpuTime()-cpu)
	r.ReplaySeconds = r.RunSeconds
	return nil
}

// idle reports on standard output that all streams are open, and waits for a line or the end of standard input.
func (g *generator) idle() error {
	if err := g.watchStdin(); err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(map[string]int{"open": g.open}); err != nil {
		return err
	}
	for !g.stdinDone {
		if err := g.turn(-1); err != nil {
			return err
		}
	}
	return nil
}

// paced publishes g.Rate events a second until the given time. If no connection is free, an event is sent as soon as one
// is, with the time at which it was due, so that a server that holds up publishers cannot hide it.
func (g *generator) paced(from, until int64) error {
	interval := 1e9 / g.Rate
	for k := 0; ; k++ {
		due := from + int64(float64(k)*interval)
		if due >= until {
			return nil
		}
		held := false
		for {
			wait := due - now()
			if wait <= 0 && g.busy < len(g.pubs) {
				break
			}
			ms := 1
			if held = wait <= 0; !held {
				ms = int(wait / 1e6) // busy-wait for the last millisecond, because epoll takes whole ones
			}
			if err := g.turn(ms); err != nil {
				return err
			}
		}
		if held {
			g.count.HeldUp++
		} else {
			g.late.add(now() - due)
		}
		if err := g.publish(g.freePublisher(), g.pickRoom(), due); err != nil {
			return err
		}
	}
}

// closedLoop makes every publisher post one request after another until the given time, with at most g.window events
// in flight, so that it measures delivery and not the length of a queue.
func (g *generator) closedLoop(until int64) error {
	limit := uint64(g.window * max(g.fanout, 1))
	for now() < until {
		for g.busy < len(g.pubs) && (g.fanout == 0 || g.expected-g.received < limit) && g.mayPublish() {
			if err := g.publish(g.freePublisher(), g.pickRoom(), now()); err != nil {
				return err
			}
		}
		if err := g.turn(1); err != nil {
			return err
		}
	}
	return nil
}

// mayPublish spaces events so that no second has more than g.maxRate of them, even after a delay.
func (g *generator) mayPublish() bool {
	if g.maxRate == 0 {
		return true
	}
	const burst = 10 * time.Millisecond
	at := now()
	if g.nextSlot > at {
		return false
	}
	g.nextSlot = max(g.nextSlot, at-int64(burst)) + int64(1e9*float64(max(g.Batch, 1))/g.maxRate)
	return true
}

func (g *generator) freePublisher() *publisher {
	for i := range g.pubs {
		if !g.pubs[i].busy {
			return &g.pubs[i]
		}
	}
	panic("no publisher is free")
}

func (g *generator) pickRoom() int {
	if g.rooms == 1 {
		return 0
	}
	return rand.IntN(g.rooms)
}

// drain waits until every POST is answered and every event delivered, or until nothing has arrived for g.patience seconds.
func (g *generator) drain() error {
	seen, at := g.received, now()
	for g.busy > 0 || g.received < g.expected {
		if err := g.turn(10); err != nil {
			return err
		}
		if g.received > seen {
			seen, at = g.received, now()
		}
		if now()-at > int64(g.patience*1e9) {
			if g.busy > 0 {
				return fmt.Errorf("%d POSTs had no answer for %g s", g.busy, g.patience)
			}
			return nil
		}
	}
	return nil
}

// fill computes the figures of a run that started at from and used cpu, both in ns.
func (g *generator) fill(r *result, from, cpu int64) {
	r.count = g.count
	r.Expected, r.Deliveries, r.Lost = g.expected, g.received, g.expected-g.received
	same := true
	for i := range g.subs {
		if g.subs[i].state == streaming {
			r.StillOpen++
		}
		same = same && g.subs[i].digest == g.subs[0].digest
	}
	if g.rooms == 1 {
		r.SameOrder = &same
	}
	r.RunSeconds = float64(max(g.lastDelivery, g.lastAnswer)-from) / 1e9
	if r.RunSeconds > 0 {
		r.PerRead = float64(g.received) / float64(max(g.reads, 1))
		r.DeliveriesPerS = float64(g.received) / r.RunSeconds
		r.BytesPerS = float64(g.bytes) / r.RunSeconds
		r.PublishedPerS = float64(g.count.Published) / r.RunSeconds
		r.GeneratorCPU = float64(cpu) / float64(now()-from)
	}
	if measured := float64(g.lastAnswer-g.measureFrom) / 1e9; measured > 0 {
		r.PostsPerS = float64(g.count.Posts) / measured
		r.AcceptedPerS = float64(g.count.Accepted) / measured
	}
	r.Latency, r.Answers, r.Late = g.latency.spread(), g.answers.spread(), g.late.spread()
}
