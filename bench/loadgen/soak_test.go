package main

import "testing"

// A stream that came later begins with any event, and from then on must get each.
func TestFollows(t *testing.T) {
	g := &generator{}
	next := unknown
	for _, seq := range []uint32{7, 8, 9} {
		if !g.follows(&next, seq) {
			t.Fatalf("%d does not follow %d", seq, next)
		}
		next = seq + 1
	}
	if g.missing != 0 || g.count.Misordered != 0 {
		t.Fatalf("%d missing, %d misordered", g.missing, g.count.Misordered)
	}
	if g.follows(&next, 9) || g.count.Misordered != 1 {
		t.Fatal("a repeated event was taken")
	}
	if !g.follows(&next, 13) || g.missing != 3 {
		t.Fatalf("%d missing instead of 3", g.missing)
	}
}

func TestUnread(t *testing.T) {
	g := &generator{}
	g.pubs = []publisher{{next: []uint32{5, 8}}, {next: []uint32{0, 3}}}
	g.subs = []subscriber{
		{state: streaming, room: 1, next: []uint32{8, unknown}},
		{state: streaming, room: 1, next: []uint32{6, 3}},
		{state: connecting, room: 0, next: []uint32{1, 0}},
	}
	if missing := g.unread(); missing != 2 {
		t.Fatalf("%d missing instead of 2", missing)
	}
}
