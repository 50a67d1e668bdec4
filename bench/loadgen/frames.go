package main

import "bytes"

var dataPrefix = []byte("data:")

// nextFrame looks for a complete frame of an event stream at the start of b.
// It returns the frame's first data line (nil for a comment, a retry or an empty frame) and the frame's
// size in bytes, including its blank line; the size is 0 if the frame is incomplete.
// Lines end in LF or CRLF; a lone CR, which none of these servers send, does not end a line.
func nextFrame(b []byte) (data []byte, size int) {
	start := 0
	for {
		end := bytes.IndexByte(b[start:], '\n')
		if end < 0 {
			return nil, 0
		}
		line := b[start : start+end]
		start += end + 1
		if len(line) > 0 && line[len(line)-1] == '\r' {
			line = line[:len(line)-1]
		}
		if len(line) == 0 {
			return data, start
		}
		if data == nil && bytes.HasPrefix(line, dataPrefix) {
			data = bytes.TrimPrefix(line[len(dataPrefix):], space)
		}
	}
}

var space = []byte(" ")

// field finds a number in lines of JSON. This needs no JSON parser, because the events are our own and much alike.
type field struct {
	key  []byte // the name with its quotes and colon: `"seq":`
	last int    // its place in the previous line, which is tried first
}

// number reads the digits after the key, skipping spaces; found is false if there are none.
func (f *field) number(data []byte) (value int64, found bool) {
	if f.last > len(data) || !bytes.HasPrefix(data[f.last:], f.key) {
		at := bytes.Index(data, f.key)
		if at < 0 {
			return 0, false
		}
		f.last = at
	}
	rest := data[f.last+len(f.key):]
	for len(rest) > 0 && rest[0] == ' ' {
		rest = rest[1:]
	}
	for len(rest) > 0 && '0' <= rest[0] && rest[0] <= '9' {
		value = value*10 + int64(rest[0]-'0')
		rest = rest[1:]
		found = true
	}
	return value, found
}
