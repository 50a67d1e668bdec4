package main

import "errors"

var errChunk = errors.New("not a chunked body")

type chunkState uint8

const (
	chunkSize chunkState = iota // in the digits of a size line
	chunkExtension
	chunkData
	chunkEnd     // in the CRLF after a chunk's data
	chunkTrailer // after the last chunk, at the start of a line
	chunkTrailerLine
	chunkDone
)

// chunkDecoder decodes a chunked body (RFC 9112, 7.1) that arrives in pieces of any size.
type chunkDecoder struct {
	state  chunkState
	digits uint8
	left   int64 // remaining bytes of the chunk; in a size line: the size so far
}

func (c *chunkDecoder) done() bool { return c.state == chunkDone }

// decode returns the payload in the next piece of the body, in the same memory.
// Bytes after the end of the body are dropped.
func (c *chunkDecoder) decode(b []byte) (payload []byte, err error) {
	kept := 0
	for at := 0; at < len(b); {
		switch c.state {
		case chunkData:
			n := int(min(c.left, int64(len(b)-at)))
			copy(b[kept:], b[at:at+n])
			kept += n
			at += n
			if c.left -= int64(n); c.left == 0 {
				c.state = chunkEnd
			}
		case chunkDone:
			return b[:kept], nil
		default:
			if !c.step(b[at]) {
				return b[:kept], errChunk
			}
			at++
		}
	}
	return b[:kept], nil
}

// step handles one byte between the chunks' data; it returns false if that byte is not allowed there.
func (c *chunkDecoder) step(char byte) bool {
	switch c.state {
	case chunkSize:
		return c.sizeChar(char)
	case chunkExtension:
		if char == '\n' {
			c.sizeEnd()
		}
	case chunkEnd:
		if char == '\n' {
			c.state, c.digits = chunkSize, 0
		} else if char != '\r' {
			return false
		}
	case chunkTrailer:
		if char == '\n' {
			c.state = chunkDone
		} else if char != '\r' {
			c.state = chunkTrailerLine
		}
	case chunkTrailerLine:
		if char == '\n' {
			c.state = chunkTrailer
		}
	}
	return true
}

func (c *chunkDecoder) sizeChar(char byte) bool {
	var digit byte
	switch {
	case '0' <= char && char <= '9':
		digit = char - '0'
	case 'a' <= char|0x20 && char|0x20 <= 'f':
		digit = char | 0x20 - 'a' + 10
	case c.digits > 0 && (char == '\r' || char == ';' || char == ' '):
		c.state = chunkExtension
		return true
	case c.digits > 0 && char == '\n':
		c.sizeEnd()
		return true
	default:
		return false
	}
	c.left = c.left<<4 | int64(digit)
	c.digits++
	return c.digits < 15
}

func (c *chunkDecoder) sizeEnd() {
	if c.state = chunkData; c.left == 0 {
		c.state = chunkTrailer
	}
}
