package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
)

// target is a URL for requests, in which {room} is replaced by a room's name. It must be in 127.0.0.0/8, because this
// program is meant to put load only on the machine it runs on.
type target struct {
	address syscall.SockaddrInet4
	host    string   // for the Host header
	path    []string // path and query, split where a room's name is inserted
}

func parseTarget(text string) (target, error) {
	parts, err := url.Parse(text)
	if err != nil {
		return target{}, err
	}
	name := parts.Hostname()
	if name == "localhost" {
		name = "127.0.0.1"
	}
	address, err := netip.ParseAddr(name)
	if parts.Scheme != "http" || err != nil || !address.Is4() || !address.IsLoopback() {
		return target{}, fmt.Errorf("%s: only http://127.0.0.1:PORT/… is allowed", text)
	}
	port, err := strconv.Atoi(parts.Port())
	if err != nil {
		return target{}, fmt.Errorf("%s: the port is missing", text)
	}
	_, path, _ := strings.Cut(strings.TrimPrefix(text, "http://"), "/")
	return target{syscall.SockaddrInet4{Port: port, Addr: address.As4()}, parts.Host, strings.Split("/"+path, "{room}")}, nil
}

// appendRequest appends the first two lines of a request to b.
func (t target) appendRequest(b []byte, method string, room int) []byte {
	b = append(append(b, method...), ' ')
	for i, piece := range t.path {
		if i > 0 {
			b = strconv.AppendInt(append(b, "room-"...), int64(room), 10)
		}
		b = append(b, piece...)
	}
	return append(append(append(b, " HTTP/1.1\r\nHost: "...), t.host...), "\r\n"...)
}

// head has the relevant parts of an answer's head.
type head struct {
	status  int
	length  int64 // of the body in bytes, -1 if unknown
	chunked bool
	closing bool // the server will close the connection after this answer
}

var blankLine = []byte("\r\n\r\n")

// parseHead looks for an answer's head at the start of b. size is its length in bytes, or 0 if it is incomplete.
func parseHead(b []byte) (h head, size int, err error) {
	end := bytes.Index(b, blankLine)
	if end < 0 {
		return head{}, 0, nil
	}
	first, rest, _ := bytes.Cut(b[:end], blankLine[:2])
	version, words, _ := bytes.Cut(first, space)
	status, _, _ := bytes.Cut(words, space)
	h = head{length: -1, closing: string(version) == "HTTP/1.0"}
	if h.status, err = strconv.Atoi(string(status)); err != nil || !bytes.HasPrefix(version, []byte("HTTP/1.")) {
		return head{}, 0, fmt.Errorf("not an HTTP answer: %q", first)
	}
	for len(rest) > 0 {
		var line []byte
		line, rest, _ = bytes.Cut(rest, blankLine[:2])
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if h.length, err = strconv.ParseInt(string(value), 10, 64); err != nil {
				return head{}, 0, fmt.Errorf("bad Content-Length: %q", value)
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			h.chunked = bytes.EqualFold(value, []byte("chunked"))
		case bytes.EqualFold(name, []byte("Connection")):
			h.closing = bytes.EqualFold(value, []byte("close"))
		}
	}
	return h, end + len(blankLine), nil
}

// answer reads an answer to a request that arrives in pieces of any size.
type answer struct {
	head   head
	inBody bool
	left   int64 // remaining bytes of the body, if its length is known
	chunks chunkDecoder
	front  []byte // the head, while it is incomplete
	body   []byte // the body's first bytes, for error messages
}

func (a *answer) reset() {
	*a = answer{front: a.front[:0], body: a.body[:0]}
}

// feed handles the next piece; done is true once the answer is complete.
func (a *answer) feed(b []byte) (done bool, err error) {
	if !a.inBody {
		a.front = append(a.front, b...)
		h, size, err := parseHead(a.front)
		if err != nil || size == 0 {
			return false, err
		}
		if h.length < 0 && !h.chunked && h.status != 204 {
			return false, errors.New("an answer without Content-Length: the publisher cannot know where it ends")
		}
		a.head, a.inBody, a.left = h, true, max(h.length, 0)
		b = a.front[size:]
	}
	if a.head.chunked {
		payload, err := a.chunks.decode(b)
		a.keep(payload)
		return a.chunks.done(), err
	}
	a.keep(b)
	if a.left -= int64(len(b)); a.left < 0 {
		return false, errors.New("more bytes than Content-Length")
	}
	return a.left == 0, nil
}

func (a *answer) keep(payload []byte) {
	if room := 300 - len(a.body); room > 0 {
		a.body = append(a.body, payload[:min(room, len(payload))]...)
	}
}
