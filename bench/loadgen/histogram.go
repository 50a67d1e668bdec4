package main

import (
	"math"
	"math/bits"
)

const precisionBits = 8

// histogram counts durations in buckets at most 1/256 wider than their value, in constant memory.
type histogram struct {
	counts [(64 - precisionBits + 1) << precisionBits]uint64
	total  uint64
	sum    float64
	max    int64
}

// add counts a duration in ns; a negative one counts as 0.
func (h *histogram) add(ns int64) {
	ns = max(ns, 0)
	h.counts[bucket(uint64(ns))]++
	h.total++
	h.sum += float64(ns)
	h.max = max(h.max, ns)
}

// percentile returns the duration in ns that this share (0 to 1) of all durations did not exceed, by nearest rank and
// rounded up to the end of its bucket; 0 if there are none.
func (h *histogram) percentile(share float64) int64 {
	rank := max(uint64(math.Ceil(share*float64(h.total))), 1)
	seen := uint64(0)
	for index, count := range h.counts {
		if seen += count; seen >= rank {
			return min(bucketEnd(index), h.max)
		}
	}
	return h.max
}

// bucket returns a value's bucket: values below 256 have one each; above, each power of two is divided into 256.
func bucket(value uint64) int {
	if value < 1<<precisionBits {
		return int(value)
	}
	shift := bits.Len64(value) - 1 - precisionBits
	return (shift+1)<<precisionBits + int(value>>shift) - 1<<precisionBits
}

// bucketEnd returns the greatest value in a bucket.
func bucketEnd(index int) int64 {
	group := index >> precisionBits
	if group == 0 {
		return int64(index)
	}
	low := uint64(1<<precisionBits + index&(1<<precisionBits-1))
	return int64((low+1)<<(group-1) - 1)
}

// spread is a histogram's summary in the result, in milliseconds.
type spread struct {
	Count uint64  `json:"count"`
	Mean  float64 `json:"mean"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

// spread returns nil if nothing was counted.
func (h *histogram) spread() *spread {
	if h.total == 0 {
		return nil
	}
	ms := func(ns int64) float64 { return float64(ns) / 1e6 }
	return &spread{
		Count: h.total, Mean: h.sum / float64(h.total) / 1e6, P50: ms(h.percentile(0.50)),
		P90: ms(h.percentile(0.90)), P99: ms(h.percentile(0.99)), Max: ms(h.max),
	}
}
