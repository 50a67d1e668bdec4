package main

import (
	"bytes"
	"fmt"
	"syscall"
)

type state uint8

const (
	connecting state = iota
	awaitingHead
	streaming
	closed
)

// subscriber is an open stream. It records the events' numbers, because each must arrive once and in its publisher's order.
type subscriber struct {
	fd      int32
	room    int32
	state   state
	chunked bool
	chunks  chunkDecoder
	rest    []byte   // an incomplete frame or head of the answer
	next    []uint32 // number of the next expected event, by publisher
	digest  uint64   // of all events in order of arrival
}

const portsPerAddress = 20000

// dial starts to connect a subscriber. Large numbers need more source addresses 127.0.0.x, because one has too few ports.
func (g *generator) dial(index int) error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if index >= portsPerAddress {
		const bindAddressNoPort = 24 // IP_BIND_ADDRESS_NO_PORT: choose the port at connect, when the destination is known
		if err := syscall.SetsockoptInt(fd, syscall.IPPROTO_IP, bindAddressNoPort, 1); err != nil {
			return err
		}
		source := syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, byte(1 + index/portsPerAddress)}}
		if err := syscall.Bind(fd, &source); err != nil {
			return err
		}
	}
	g.subs[index].fd = int32(fd)
	if err := syscall.Connect(fd, &g.subTarget.address); err != nil && err != syscall.EINPROGRESS {
		return fmt.Errorf("subscriber %d: %w", index, err)
	}
	return g.poll.watch(syscall.EPOLL_CTL_ADD, int32(fd), writable, ofSubscriber, index)
}

// subscribe requests the stream once the connection is established.
func (g *generator) subscribe(s *subscriber, index int) error {
	code, err := syscall.GetsockoptInt(int(s.fd), syscall.SOL_SOCKET, syscall.SO_ERROR)
	if err == nil && code != 0 {
		err = syscall.Errno(code)
	}
	if err != nil {
		return fmt.Errorf("subscriber %d: %w", index, err)
	}
	request := g.subTarget.appendRequest(g.buffer[:0], "GET", int(s.room))
	request = append(request, "Accept: text/event-stream\r\n\r\n"...)
	if n, errno := write(s.fd, request); errno != 0 || n < len(request) {
		return fmt.Errorf("subscriber %d: the request could not be written: %w", index, errno)
	}
	s.state = awaitingHead
	return g.poll.watch(syscall.EPOLL_CTL_MOD, s.fd, readable, ofSubscriber, index)
}

// subscriberReady reads once and handles every complete frame.
func (g *generator) subscriberReady(s *subscriber, index int) error {
	if s.state == connecting {
		return g.subscribe(s, index)
	}
	kept := copy(g.buffer, s.rest)
	n, errno := read(s.fd, g.buffer[kept:])
	at := now()
	if errno == syscall.EAGAIN {
		return nil
	}
	if errno != 0 || n == 0 {
		return g.lose(s, index)
	}
	g.bytes += uint64(n)
	g.reads++
	b := g.buffer[:kept+n]
	fresh := b[kept:]
	if s.state == awaitingHead {
		head, size, err := parseHead(b)
		if err != nil {
			return fmt.Errorf("subscriber %d: %w", index, err)
		}
		if size == 0 {
			s.rest = append(s.rest[:0], b...)
			return nil
		}
		if head.status != 200 {
			return fmt.Errorf("subscriber %d: the server refused the stream: %.300s", index, b)
		}
		s.state, s.chunked = streaming, head.chunked
		g.open++
		b = b[size:]
		kept, fresh = 0, b
	}
	if s.chunked {
		payload, err := s.chunks.decode(fresh)
		if err != nil {
			return fmt.Errorf("subscriber %d: %w", index, err)
		}
		b = b[:kept+len(payload)]
	}
	return g.takeFrames(s, index, b, at)
}

// takeFrames handles the complete frames in b, which was read at the time at, and keeps the rest.
func (g *generator) takeFrames(s *subscriber, index int, b []byte, at int64) error {
	for {
		data, size := nextFrame(b)
		if size == 0 {
			break
		}
		if data != nil {
			g.take(s, data, at)
		}
		b = b[size:]
	}
	if len(b) > len(g.buffer)/2 {
		return fmt.Errorf("subscriber %d: a frame of more than %d bytes", index, len(b))
	}
	s.rest = append(s.rest[:0], b...)
	return nil
}

// take counts the data of one frame.
func (g *generator) take(s *subscriber, data []byte, at int64) {
	pub, ok := g.fields.pub.number(data)
	seq, hasSeq := g.fields.seq.number(data)
	sent, hasSent := g.fields.sent.number(data)
	if !ok || !hasSeq || !hasSent || int(pub) >= len(g.pubs) {
		g.takeOther(data)
		return
	}
	if g.rooms > 1 {
		if room, ok := g.fields.room.number(data); !ok || int32(room) != s.room {
			g.count.Misrouted++
			return
		}
	}
	next := &s.next[pub]
	if g.Mode == "soak" {
		if !g.follows(next, uint32(seq)) {
			return
		}
	} else if uint32(seq) < *next {
		g.count.Misordered++ // out of order or repeated
		return
	}
	*next = uint32(seq) + 1
	s.digest = (s.digest ^ uint64(pub)<<32 ^ uint64(seq)) * 0x9E3779B97F4A7C15
	g.received++
	g.lastDelivery = at
	if sent >= g.measureFrom {
		g.latency.add(at - sent)
	}
}

// takeOther counts frames that are not benchmark events, such as the hub's notices.
func (g *generator) takeOther(data []byte) {
	switch {
	case bytes.Contains(data, []byte(`stream_gap"`)):
		g.count.Gaps++
		if missed, ok := g.fields.missed.number(data); ok {
			g.count.MissedInGaps += uint64(missed)
		}
	case bytes.Contains(data, []byte(`heartbeat"`)):
		g.count.Heartbeats++
	case bytes.Contains(data, []byte(`stream_opened"`)):
	default:
		g.count.Others++
	}
}

// lose counts a stream that the server closed. It is not reopened, so events that it misses count as lost.
func (g *generator) lose(s *subscriber, index int) error {
	if s.state != streaming {
		return fmt.Errorf("subscriber %d: the server closed the connection before it answered", index)
	}
	s.state = closed
	g.count.ClosedByServer++
	return syscall.Close(int(s.fd))
}
