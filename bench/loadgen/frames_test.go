package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// stream has what a server might send: comments, retry, events with and without id, LF and CRLF.
func stream() (text string, want []string) {
	var b strings.Builder
	b.WriteString("retry: 3000\ndata: {\"type\":\"stream_opened\"}\n\n: hi\n\n\n")
	want = append(want, `{"type":"stream_opened"}`)
	for i := range 20 {
		data := fmt.Sprintf(`{"pub":%d,"seq":%d,"sent_ns":%d}`, i%3, i, 1000*i)
		end := "\n"
		if i%2 == 1 {
			end = "\r\n"
		}
		fmt.Fprintf(&b, "id: e-%d%sdata: %s%s%s", i, end, data, end, end)
		want = append(want, data)
	}
	b.WriteString("data:no space\n\n")
	return b.String(), append(want, "no space")
}

// frames reads the pieces as a subscriber does: an incomplete frame is kept for the next piece.
func frames(pieces [][]byte, decode func([]byte) []byte) (got []string) {
	var kept []byte
	for _, piece := range pieces {
		kept = append(kept, decode(piece)...)
		for {
			data, size := nextFrame(kept)
			if size == 0 {
				break
			}
			if data != nil {
				got = append(got, string(data))
			}
			kept = kept[size:]
		}
	}
	return got
}

// cut splits text at random places into pieces of 1 to most bytes.
func cut(random *rand.Rand, text string, most int) (pieces [][]byte) {
	for len(text) > 0 {
		n := min(1+random.IntN(most), len(text))
		pieces = append(pieces, []byte(text[:n]))
		text = text[n:]
	}
	return pieces
}

func compare(t *testing.T, got, want []string) {
	t.Helper()
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Fatalf("got  %q\nwant %q", got, want)
	}
}

func TestFramesUnderAnyChunking(t *testing.T) {
	text, want := stream()
	same := func(b []byte) []byte { return b }
	for first := range len(text) {
		compare(t, frames([][]byte{[]byte(text[:first]), []byte(text[first:])}, same), want)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		compare(t, frames(cut(random, text, 1+random.IntN(40)), same), want)
	}
}

func TestChunkedBodyUnderAnyChunking(t *testing.T) {
	text, want := stream()
	random := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		var body strings.Builder
		for _, piece := range cut(random, text, 1+random.IntN(60)) {
			fmt.Fprintf(&body, "%X;note=1\r\n%s\r\n", len(piece), piece)
		}
		body.WriteString("0\r\nTrailer: x\r\n\r\n")
		var chunks chunkDecoder
		decode := func(b []byte) []byte {
			payload, err := chunks.decode(b)
			if err != nil {
				t.Fatal(err)
			}
			return payload
		}
		compare(t, frames(cut(random, body.String(), 1+random.IntN(40)), decode), want)
		if !chunks.done() {
			t.Fatal("the last chunk was not recognised")
		}
	}
}

func TestInvalidChunkedBodies(t *testing.T) {
	for _, text := range []string{"xyz\r\n", "5\r\nabcdefg", "\r\n", "fffffffffffffffff\r\n"} {
		var chunks chunkDecoder
		if _, err := chunks.decode([]byte(text)); err == nil {
			t.Errorf("%q was taken for a chunked body", text)
		}
	}
}

func TestNumber(t *testing.T) {
	data := []byte(`{"type":"transcript","pub": 3,"seq":17,"sent_ns":123456789012,"room":"room-42","x":"seq"}`)
	for key, want := range map[string]int64{`"pub":`: 3, `"seq":`: 17, `"sent_ns":`: 123456789012, `"room-`: 42} {
		f := field{key: []byte(key)}
		for range 2 {
			if got, found := f.number(data); !found || got != want {
				t.Errorf("%s: got %d, %t", key, got, found)
			}
			if _, found := f.number([]byte(`{"type":"heartbeat"}`)); found {
				t.Errorf("%s was found where it is not", key)
			}
		}
	}
	for _, key := range []string{`"missing":`, `"type":`} {
		f := field{key: []byte(key)}
		if _, found := f.number(data); found {
			t.Errorf("%s was found", key)
		}
	}
}
