package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"syscall"
	"time"
)

const (
	unknown = ^uint32(0)
	pause   = time.Second
)

// staller is a stream that is never read. It takes small segments, so that the server's socket is full after some kB.
type staller struct {
	fd     int32
	state  state
	opened int64
}

// window is printed as a line of JSON at the end of each window of a soak.
type window struct {
	Window     int     `json:"window"`
	Stalled    int     `json:"stalled"` // streams that were never read, in this window
	Open       int     `json:"open"`    // streams that are read
	Came       uint64  `json:"came"`    // streams opened in this window, each in the place of one that left
	Deliveries uint64  `json:"deliveries"`
	Missing    uint64  `json:"missing"` // since the start: events that a stream skipped
	Latency    *spread `json:"latency_ms"`
	Answers    *spread `json:"post_ms"`
	Late       *spread `json:"late_ms"`
	Last       bool    `json:"last"`
	count
}

// soak publishes g.Rate events a second to subscribers of which g.churn a second leave, each for a new one. In every second
// window there are g.stalled more, which never read. A window lasts g.windowSeconds, of which g.warmup are not measured.
func (g *generator) soak() error {
	for i := range g.subs {
		g.forget(&g.subs[i])
	}
	from := now()
	windows := max(int(g.Seconds/g.windowSeconds), 2)
	published, left := 0, 0
	for number := range windows {
		begin := now()
		until := begin + int64(g.windowSeconds*1e9)
		g.latency, g.answers, g.late = histogram{}, histogram{}, histogram{}
		g.measureFrom = begin + int64(g.warmup*1e9)
		received, came := g.received, left
		stalling := number%2 == 1
		for now() < until {
			at := float64(now()-from) / 1e9
			if due := int(at * g.Rate); published < due && g.busy < len(g.pubs) {
				dueAt := from + int64(float64(published)*1e9/g.Rate)
				g.late.add(now() - dueAt)
				if err := g.publish(g.freePublisher(), g.pickRoom(), dueAt); err != nil {
					return err
				}
				published++
				continue
			}
			if due := int(at * g.churn); left < due {
				left++
				if err := g.replace(rand.IntN(len(g.subs)), left%2 == 0); err != nil {
					return err
				}
			}
			if stalling {
				if err := g.stall(); err != nil {
					return err
				}
			}
			if err := g.turn(1); err != nil {
				return err
			}
		}
		w := window{Window: number, Open: g.open, Came: uint64(left - came), Deliveries: g.received - received, Missing: g.missing}
		if stalling {
			w.Stalled = len(g.stallers)
		}
		w.Latency, w.Answers, w.Late, w.count = g.latency.spread(), g.answers.spread(), g.late.spread(), g.count
		if w.Last = number == windows-1; w.Last {
			if err := g.rest(2 * time.Second); err != nil {
				return err
			}
			w.Missing += g.unread()
		}
		if err := json.NewEncoder(os.Stdout).Encode(w); err != nil {
			return err
		}
		// Meanwhile, the reader of that line measures the server.
		if err := g.rest(pause); err != nil {
			return err
		}
		from += int64(pause)
		for i := range g.stallers {
			if err := g.release(&g.stallers[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// forget makes a stream begin with any event.
func (g *generator) forget(s *subscriber) {
	for i := range s.next {
		s.next[i] = unknown
	}
}

// follows checks that an event is the next one of its publisher and room.
func (g *generator) follows(next *uint32, seq uint32) bool {
	if *next != unknown && seq < *next {
		g.count.Misordered++
		return false
	}
	if *next != unknown {
		g.missing += uint64(seq - *next)
	}
	return true
}

// unread returns the number of events that streams should have, and do not.
func (g *generator) unread() (missing uint64) {
	for i := range g.subs {
		s := &g.subs[i]
		for p, next := range s.next {
			if s.state == streaming && next != unknown {
				missing += uint64(g.pubs[p].next[s.room] - next)
			}
		}
	}
	return missing
}

// replace closes a stream, with FIN or RST, and opens another one of the same room.
func (g *generator) replace(index int, reset bool) error {
	s := &g.subs[index]
	if s.state != streaming {
		return nil // it is still opening
	}
	if reset {
		if err := syscall.SetsockoptLinger(int(s.fd), syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1}); err != nil {
			return err
		}
	}
	if err := syscall.Close(int(s.fd)); err != nil {
		return err
	}
	g.open--
	s.state, s.chunks, s.rest = connecting, chunkDecoder{}, s.rest[:0]
	g.forget(s)
	return g.dial(index)
}

// stall opens the streams that are not read, and opens each again after a while: the server drops them.
func (g *generator) stall() error {
	const lifetime = int64(15 * time.Second)
	for i := range g.stallers {
		s := &g.stallers[i]
		if s.state != closed && now()-s.opened < lifetime {
			continue
		}
		if err := g.release(s); err != nil {
			return err
		}
		if err := g.dialStaller(s, i); err != nil {
			return err
		}
	}
	return nil
}

func (g *generator) dialStaller(s *staller, index int) error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_RCVBUF, 2048); err != nil {
		return err
	}
	if err := syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, 536); err != nil {
		return err
	}
	if err := syscall.Connect(fd, &g.stallTarget.address); err != nil && err != syscall.EINPROGRESS {
		return fmt.Errorf("stalled stream %d: %w", index, err)
	}
	*s = staller{fd: int32(fd), state: connecting, opened: now()}
	return g.poll.watch(syscall.EPOLL_CTL_ADD, s.fd, writable, ofStaller, index)
}

// stallerReady sends the request, and then never looks at the stream again.
func (g *generator) stallerReady(s *staller, index int) error {
	if s.state != connecting {
		return nil
	}
	request := g.stallTarget.appendRequest(g.buffer[:0], "GET", 0)
	request = append(request, "Accept: text/event-stream\r\n\r\n"...)
	if n, errno := write(s.fd, request); errno != 0 || n < len(request) {
		return fmt.Errorf("stalled stream %d: the request could not be written: %w", index, errno)
	}
	s.state = streaming
	return g.poll.watch(syscall.EPOLL_CTL_DEL, s.fd, 0, ofStaller, index)
}

// release closes a stream that is not read.
func (g *generator) release(s *staller) error {
	if s.state == closed {
		return nil
	}
	s.state = closed
	return syscall.Close(int(s.fd))
}
