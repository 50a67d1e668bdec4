package main

import (
	"math/rand/v2"
	"testing"
)

func TestAnswersUnderAnyChunking(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	answers := map[string]string{
		"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{\"status\":\"ok\"}":                           `{"status":"ok"}`,
		"HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n": "abcde",
		"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nConnection: close\r\n\r\n":                    "",
	}
	for text, body := range answers {
		for range 200 {
			var a answer
			pieces := cut(random, text, 1+random.IntN(30))
			for i, piece := range pieces {
				done, err := a.feed(piece)
				if err != nil {
					t.Fatal(err)
				}
				if done != (i == len(pieces)-1) {
					t.Fatalf("%q: done is %t at piece %d of %d", text, done, i+1, len(pieces))
				}
			}
			if string(a.body) != body {
				t.Fatalf("%q: body %q", text, a.body)
			}
		}
	}
}

func TestBadAnswers(t *testing.T) {
	for _, text := range []string{
		"hello\r\n\r\n", "HTTP/1.1 OK\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nabc",
	} {
		var a answer
		if _, err := a.feed([]byte(text)); err == nil {
			t.Errorf("%q was taken for an answer", text)
		}
	}
}

func TestOnlyLoopbackTargets(t *testing.T) {
	got, err := parseTarget("http://127.0.0.1:5000/api/stream?room={room}")
	request := string(got.appendRequest(nil, "GET", 17))
	want := "GET /api/stream?room=room-17 HTTP/1.1\r\nHost: 127.0.0.1:5000\r\n"
	if err != nil || got.address.Port != 5000 || request != want {
		t.Errorf("%+v, %q, %v", got, request, err)
	}
	for _, text := range []string{"http://10.0.0.1:80/", "http://example.org:80/", "https://127.0.0.1:1/", "http://127.0.0.1/"} {
		if _, err := parseTarget(text); err == nil {
			t.Errorf("%s was accepted", text)
		}
	}
}
