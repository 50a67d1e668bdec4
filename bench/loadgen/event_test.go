package main

import (
	"encoding/json"
	"testing"
)

func TestEventsAreJSONOfTheRequestedSize(t *testing.T) {
	for _, size := range []int{180, 200, 1000} {
		text := appendEvent(nil, size, 3, 9999, 4_000_000, 123_456_789_012)
		var fields map[string]any
		if err := json.Unmarshal(text, &fields); err != nil {
			t.Fatal(err)
		}
		if len(text) != size || fields["room"] != "room-9999" || fields["seq"] != 4e6 || fields["type"] != "transcript" {
			t.Errorf("size %d: %d bytes, %s", size, len(text), text)
		}
	}
}
