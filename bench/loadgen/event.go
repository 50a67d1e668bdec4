package main

import (
	"strconv"
	"strings"
)

var filler = strings.Repeat("the quick brown fox jumps over the lazy dog and ", 40)

// appendEvent appends one benchmark event to b. It is size bytes long, or longer if its fixed fields need more; its text
// has at most 2 kB.
// pub and seq identify the event among those that one publisher sends to one room; sent is a time of now(), in ns.
func appendEvent(b []byte, size, pub, room int, seq uint32, sent int64) []byte {
	from := len(b)
	b = strconv.AppendInt(append(b, `{"type":"transcript","pub":`...), int64(pub), 10)
	b = strconv.AppendUint(append(b, `,"seq":`...), uint64(seq), 10)
	b = strconv.AppendInt(append(b, `,"sent_ns":`...), sent, 10)
	wall := started.UnixMilli() + sent/1e6
	b = strconv.AppendInt(append(b, `,"timestamp":`...), wall/1000, 10)
	b = append(b, '.', '0'+byte(wall/100%10), '0'+byte(wall/10%10), '0'+byte(wall%10))
	b = strconv.AppendInt(append(b, `,"participant":"agent_123","room":"room-`...), int64(room), 10)
	b = append(b, `","text":"`...)
	padding := min(max(size-(len(b)-from)-len(`"}`), 1), len(filler))
	return append(append(b, filler[:padding]...), `"}`...)
}
