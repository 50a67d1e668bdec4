package main

import (
	"fmt"
	"syscall"
	"time"
)

// count has the counters, named as in the result.
type count struct {
	Published      uint64 `json:"published"`
	Posts          uint64 `json:"posts"`
	Accepted       uint64 `json:"accepted"`
	Misordered     uint64 `json:"misordered"`
	Misrouted      uint64 `json:"misrouted"`
	Gaps           uint64 `json:"gaps"`
	MissedInGaps   uint64 `json:"missed_in_gaps"`
	ClosedByServer uint64 `json:"closed_by_server"`
	Heartbeats     uint64 `json:"heartbeats"`
	Others         uint64 `json:"others"`
	HeldUp         uint64 `json:"held_up"` // events that were due while every publisher waited for an answer
	Reconnects     uint64 `json:"publisher_reconnects"`
}

// generator is the state of a run: one thread, one epoll, all subscribers and publishers.
type generator struct {
	options
	poll     *poller
	buffer   []byte // used by every read
	subs     []subscriber
	stallers []staller
	pubs     []publisher

	fields    fields
	open      int // subscribers whose stream has started
	busy      int // publishers with a POST in flight
	fanout    int // subscribers per room
	stdinDone bool

	count        count
	expected     uint64 // deliveries that the published events must cause
	received     uint64
	bytes        uint64 // read by subscribers
	missing      uint64 // soak: events that a stream skipped
	reads        uint64 // number of system calls for that
	latency      histogram
	answers      histogram // from the start of a POST to the end of its answer
	late         histogram // from the time an event was due to the start of its POST, unless a publisher was held up
	measureFrom  int64     // ns of now(): anything started earlier is warm-up
	lastDelivery int64
	lastAnswer   int64
	nextSlot     int64 // when the next event may be sent, under g.maxRate
}

// fields are the fields read from an event.
type fields struct{ pub, seq, sent, room, missed field }

func newFields() fields {
	key := func(text string) field { return field{key: []byte(text)} }
	return fields{key(`"pub":`), key(`"seq":`), key(`"sent_ns":`), key(`"room-`), key(`"missed":`)}
}

func newGenerator(o options) (*generator, error) {
	poll, err := newPoller()
	if err != nil {
		return nil, err
	}
	g := &generator{options: o, poll: poll, buffer: make([]byte, 256<<10), fanout: o.Subscribers / o.rooms, fields: newFields()}
	g.subs = make([]subscriber, o.Subscribers)
	g.stallers = make([]staller, o.stalled)
	for i := range g.stallers {
		g.stallers[i].state = closed
	}
	g.pubs = make([]publisher, o.Connections)
	next := make([]uint32, o.Subscribers*o.Connections)
	rest := make([]byte, o.Subscribers*o.size*2)
	for i := range g.subs {
		s := &g.subs[i]
		s.room = int32(i % o.rooms)
		s.next, next = next[:o.Connections:o.Connections], next[o.Connections:]
		s.rest, rest = rest[:0:2*o.size], rest[2*o.size:]
	}
	for i := range g.pubs {
		g.pubs[i] = publisher{index: i, next: make([]uint32, o.rooms)}
		if err := g.connect(&g.pubs[i]); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// turn waits up to ms milliseconds and handles the descriptors that are ready.
func (g *generator) turn(ms int) error {
	ready, err := g.poll.wait(ms)
	for i := 0; err == nil && i < len(ready); i++ {
		index := int(ready[i].Fd)
		switch kind(ready[i].Pad) {
		case ofSubscriber:
			err = g.subscriberReady(&g.subs[index], index)
		case ofPublisher:
			err = g.publisherReady(&g.pubs[index], ready[i].Events)
		case ofStaller:
			err = g.stallerReady(&g.stallers[index], index)
		case ofStdin:
			err = g.stdinReady()
		}
	}
	return err
}

// subscribeAll opens all subscribers, at most 100 at a time, and returns the time that this took, in seconds.
func (g *generator) subscribeAll() (float64, error) {
	return g.subscribeWhile(100, func() error { return nil })
}

// subscribeWhile opens all subscribers, at most atATime at a time, and does something else in between.
func (g *generator) subscribeWhile(atATime int, between func() error) (float64, error) {
	const patience = 30 * time.Second
	from := now()
	dialled, lastOpen, progress := 0, 0, from
	for g.open < len(g.subs) {
		for dialled < len(g.subs) && dialled-g.open < atATime {
			if err := g.dial(dialled); err != nil {
				return 0, err
			}
			dialled++
		}
		if err := between(); err != nil {
			return 0, err
		}
		if err := g.turn(10); err != nil {
			return 0, fmt.Errorf("%d of %d subscribers opened: %w", g.open, len(g.subs), err)
		}
		if g.open > lastOpen {
			lastOpen, progress = g.open, now()
		}
		if now()-progress > int64(patience) {
			return 0, fmt.Errorf("%d of %d subscribers opened, then none for %s", g.open, len(g.subs), patience)
		}
	}
	return float64(now()-from) / 1e9, nil
}

// rest gives the server time to finish its work for new subscribers.
func (g *generator) rest(pause time.Duration) error {
	for until := now() + int64(pause); now() < until; {
		if err := g.turn(10); err != nil {
			return err
		}
	}
	return nil
}

// watchStdin makes an idle run end at a line, or at the end, of standard input.
func (g *generator) watchStdin() error {
	err := g.poll.watch(syscall.EPOLL_CTL_ADD, 0, readable, ofStdin, 0)
	if err == syscall.EPERM { // a file or /dev/null counts as ended
		g.stdinDone = true
		return nil
	}
	return err
}

func (g *generator) stdinReady() error {
	n, errno := read(0, g.buffer)
	g.stdinDone = errno != 0 || n == 0 || g.buffer[n-1] == '\n'
	return nil
}

func (g *generator) close() {
	for i := range g.subs {
		if s := &g.subs[i]; s.state != closed {
			_ = syscall.Close(int(s.fd))
		}
	}
	for i := range g.pubs {
		if p := &g.pubs[i]; p.fd >= 0 {
			_ = p.close()
		}
	}
}
