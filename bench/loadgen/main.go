// loadgen opens subscribers to a Server-Sent Events server, publishes events to it and measures their delivery.
//
// To avoid being the bottleneck, it uses one thread, one epoll and raw sockets, and no garbage collection. It prints the
// result as one JSON object. Run `loadgen MODE -h` for the flags; ../README.md describes what the modes measure.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
)

// options are the settings of a run; the exported ones are repeated in its result.
type options struct {
	Mode        string  `json:"mode"`
	Subscribers int     `json:"subscribers"`
	Connections int     `json:"connections"`
	Seconds     float64 `json:"seconds"`
	Rate        float64 `json:"rate"`
	Batch       int     `json:"batch"`
	Events      int     `json:"events,omitempty"`

	subTarget, pubTarget target
	stallTarget          target
	churn, windowSeconds float64
	stalled              int
	contentType          string
	ndjson               bool
	separator            byte
	rooms, size, window  int
	warmup, patience     float64
	maxRate              float64
	cpu                  int
}

// defaults are the settings in which the modes differ.
var defaults = map[string]options{
	"latency": {Subscribers: 1000, Connections: 4, Seconds: 10, Rate: 20, rooms: 1, warmup: 1},
	"flatout": {Subscribers: 1000, Connections: 16, Seconds: 8, rooms: 1},
	"idle":    {Subscribers: 10000, rooms: 1},
	"post":    {Subscribers: 0, Connections: 1, Seconds: 5, rooms: 1, warmup: 1},
	"batch":   {Subscribers: 1, Connections: 4, Seconds: 5, Batch: 500, rooms: 1, warmup: 1},
	"sparse":  {Subscribers: 10000, Connections: 4, Seconds: 5, rooms: 10000, warmup: 1},
	"soak":    {Subscribers: 10000, Connections: 4, Seconds: 120, Rate: 200, rooms: 100, warmup: 2, churn: 50, stalled: 100, windowSeconds: 15},
	"storm":   {Subscribers: 10000, Connections: 1, Rate: 20, Events: 500, rooms: 1},
}

func parse(args []string) (options, error) {
	if len(args) == 0 || defaults[args[0]].rooms == 0 {
		return options{}, errors.New("usage: loadgen latency|flatout|idle|post|batch|sparse|storm|soak [flags]; -h after a mode lists them")
	}
	o := defaults[args[0]]
	o.Mode = args[0]
	flags := flag.NewFlagSet("loadgen "+o.Mode, flag.ExitOnError)
	subURL := flags.String("sub-url-template", "", "`URL` of the stream; {room} becomes the name of the subscriber's room")
	stallURL := flags.String("stall-url", "", "soak: `URL` of the streams that are never read")
	pubURL := flags.String("pub-url", "", "`URL` that events are posted to; {room} becomes the name of the event's room")
	flags.StringVar(&o.contentType, "content-type", "application/json", "type of the posted body; with application/x-ndjson, a batch is sent as lines instead of an array")
	flags.IntVar(&o.cpu, "cpu", -1, "CPU to run on, counted from 0; -1: any")
	flags.IntVar(&o.Subscribers, "subs", o.Subscribers, "number of subscribers")
	flags.IntVar(&o.Connections, "connections", o.Connections, "number of publisher connections, each with one POST in flight")
	flags.Float64Var(&o.Seconds, "seconds", o.Seconds, "how long to publish after the warm-up")
	flags.Float64Var(&o.warmup, "warmup", o.warmup, "seconds of publishing that are left out of latencies and POSTs/s")
	flags.Float64Var(&o.Rate, "rate", o.Rate, "events a second; 0: as fast as answers arrive")
	flags.Float64Var(&o.maxRate, "max-rate", 0, "maximum events a second if there is no -rate; 0: unlimited")
	flags.IntVar(&o.Batch, "batch", o.Batch, "events in a POST; 0: a single event that is not in a batch")
	flags.IntVar(&o.Events, "events", o.Events, "storm: number of events that are published before the subscribers connect, and replayed to each")
	flags.Float64Var(&o.churn, "churn", o.churn, "soak: subscribers a second that leave, each for a new one")
	flags.IntVar(&o.stalled, "stalled", o.stalled, "soak: streams that are never read, in every second window")
	flags.Float64Var(&o.windowSeconds, "window-seconds", o.windowSeconds, "soak: length of a window")
	flags.IntVar(&o.rooms, "rooms", o.rooms, "number of rooms for subscribers and events; -subs must be a multiple of it")
	flags.IntVar(&o.size, "size", 180, "size of an event in bytes")
	flags.IntVar(&o.window, "window", 5000, "maximum events in flight if there is no -rate; the default is half of the hub's ring")
	flags.Float64Var(&o.patience, "patience", 10, "seconds without a delivery after which missing events count as lost")
	if err := flags.Parse(args[1:]); err != nil {
		return o, err
	}
	var err error
	if o.subTarget, err = parseTarget(*subURL); err != nil && o.Subscribers > 0 {
		return o, fmt.Errorf("-sub-url-template: %w", err)
	}
	if o.pubTarget, err = parseTarget(*pubURL); err != nil && o.Connections > 0 {
		return o, fmt.Errorf("-pub-url: %w", err)
	}
	if o.stallTarget, err = parseTarget(*stallURL); err != nil && o.Mode == "soak" {
		return o, fmt.Errorf("-stall-url: %w", err)
	}
	o.ndjson = o.contentType == "application/x-ndjson"
	if o.separator = ','; o.ndjson {
		o.separator = '\n'
	}
	switch {
	case o.rooms < 1 || o.Subscribers < 0 || o.Subscribers%o.rooms != 0:
		return o, errors.New("-subs must be a multiple of -rooms")
	case o.Mode != "idle" && o.Connections < 1:
		return o, errors.New("-connections must be at least 1")
	case o.size < 1 || o.Batch < 0 || o.window < 1:
		return o, errors.New("-size and -window must be at least 1, -batch at least 0")
	}
	return o, nil
}

func main() {
	o, err := parse(os.Args[1:])
	if err == nil {
		err = allowDescriptors(o.Subscribers + o.Connections + o.stalled)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "loadgen:", err)
		os.Exit(2)
	}
	runtime.GOMAXPROCS(1)
	runtime.LockOSThread()
	if o.Mode != "soak" { // which may run for hours
		debug.SetGCPercent(-1)
	}
	if o.cpu >= 0 {
		if err := pin(o.cpu); err != nil {
			fmt.Fprintln(os.Stderr, "loadgen:", err)
			os.Exit(2)
		}
	}
	r, err := run(o)
	if err == nil && o.Mode == "soak" { // it has printed its windows
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "loadgen:", err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		os.Exit(1)
	}
}
