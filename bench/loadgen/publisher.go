package main

import (
	"errors"
	"fmt"
	"strconv"
	"syscall"
)

// publisher is a keep-alive connection with at most one POST in flight.
type publisher struct {
	index  int
	fd     int32 // -1: not connected
	busy   bool  // a POST is in flight
	sent   int64 // start of the POST, in ns of now()
	events int   // number of events in the POST
	out    []byte
	left   []byte // the part of out that is not written yet
	body   []byte
	answer answer
	next   []uint32 // number of the next event, by room
}

// connect blocks, but only briefly on loopback.
func (g *generator) connect(p *publisher) error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := syscall.Connect(fd, &g.pubTarget.address); err != nil {
		return fmt.Errorf("publisher: %w", err)
	}
	if err := syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1); err != nil {
		return err
	}
	if err := syscall.SetNonblock(fd, true); err != nil {
		return err
	}
	p.fd = int32(fd)
	return g.poll.watch(syscall.EPOLL_CTL_ADD, p.fd, readable, ofPublisher, p.index)
}

// publish posts an event or a batch to one room. due is the time that the events carry, in ns of now().
func (g *generator) publish(p *publisher, room int, due int64) error {
	if p.fd < 0 {
		g.count.Reconnects++
		if err := g.connect(p); err != nil {
			return err
		}
	}
	p.body = p.body[:0]
	if g.Batch > 0 && !g.ndjson {
		p.body = append(p.body, '[')
	}
	p.events = max(g.Batch, 1)
	for i := range p.events {
		if i > 0 {
			p.body = append(p.body, g.separator)
		}
		p.body = appendEvent(p.body, g.size, p.index, room, p.next[room], due)
		p.next[room]++
	}
	if g.Batch > 0 && !g.ndjson {
		p.body = append(p.body, ']')
	}
	p.out = g.pubTarget.appendRequest(p.out[:0], "POST", room)
	p.out = append(append(p.out, "Content-Type: "...), g.contentType...)
	p.out = strconv.AppendInt(append(p.out, "\r\nContent-Length: "...), int64(len(p.body)), 10)
	p.out = append(append(p.out, blankLine...), p.body...)
	p.left, p.busy, p.sent = p.out, true, now()
	p.answer.reset()
	g.expected += uint64(p.events * g.fanout)
	g.count.Published += uint64(p.events)
	g.busy++
	return g.writeOn(p)
}

// writeOn writes as much as the socket accepts; the rest is written once the socket is writable again.
func (g *generator) writeOn(p *publisher) error {
	partly := len(p.left) < len(p.out)
	n, errno := write(p.fd, p.left)
	if errno != 0 && errno != syscall.EAGAIN {
		return fmt.Errorf("publisher: the server closed the connection while a POST was being written: %w", errno)
	}
	p.left = p.left[n:]
	switch {
	case len(p.left) > 0 && !partly:
		return g.poll.watch(syscall.EPOLL_CTL_MOD, p.fd, readable|writable, ofPublisher, p.index)
	case len(p.left) == 0 && partly:
		return g.poll.watch(syscall.EPOLL_CTL_MOD, p.fd, readable, ofPublisher, p.index)
	}
	return nil
}

// publisherReady continues a POST: it writes the rest and reads the answer.
func (g *generator) publisherReady(p *publisher, what uint32) error {
	if what&writable != 0 && len(p.left) > 0 {
		if err := g.writeOn(p); err != nil {
			return err
		}
	}
	if what&^writable == 0 {
		return nil
	}
	n, errno := read(p.fd, g.buffer)
	if errno == syscall.EAGAIN {
		return nil
	}
	if errno != 0 || n == 0 {
		if p.busy {
			return errors.New("publisher: the server closed the connection in the middle of an answer")
		}
		return p.close()
	}
	if !p.busy {
		return errors.New("publisher: unexpected data from the server")
	}
	done, err := p.answer.feed(g.buffer[:n])
	if err != nil || !done {
		return err
	}
	if status := p.answer.head.status; status < 200 || status > 299 {
		return fmt.Errorf("publisher: the server refused an event: %d %s", status, p.answer.body)
	}
	at := now()
	if p.sent >= g.measureFrom {
		g.answers.add(at - p.sent)
		g.count.Posts++
		g.count.Accepted += uint64(p.events)
	}
	g.lastAnswer = at
	p.busy = false
	g.busy--
	if p.answer.head.closing {
		return p.close()
	}
	return nil
}

// close closes the connection; the publisher reconnects for its next POST.
func (p *publisher) close() error {
	fd := p.fd
	p.fd = -1
	return syscall.Close(int(fd))
}
