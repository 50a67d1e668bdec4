package main

import "bytes"

var dataPrefix = []byte("data:")

// nextFrame looks for the first whole frame of an event stream at the head of b.
// It gives the text of the frame's first data line (nil: a comment, a retry, an empty frame) and the frame's
// size with its blank line in bytes; size 0: the end of the frame has not come yet.
// Lines may end in LF or CRLF; a lone CR, which no server here sends, is not taken for a line end.
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

// field finds one number in lines of JSON. No JSON parser: the events are our own, and each is nearly like the one before.
type field struct {
	key  []byte // the name with its quotes and colon: `"seq":`
	last int    // where it stood in the line before: looked at first
}

// number reads the digits behind the key, spaces skipped; found: there were any.
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
