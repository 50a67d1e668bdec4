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

// add counts one duration in ns; below 0 counts as 0.
func (h *histogram) add(ns int64) {
	ns = max(ns, 0)
	h.counts[bucket(uint64(ns))]++
	h.total++
	h.sum += float64(ns)
	h.max = max(h.max, ns)
}

// percentile gives the duration in ns that a share of all (0 to 1) did not exceed, by nearest rank, rounded up
// to its bucket's end; 0 where nothing was counted.
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

// bucket: values below 256 have a bucket each; above, each power of two is cut into 256.
func bucket(value uint64) int {
	if value < 1<<precisionBits {
		return int(value)
	}
	shift := bits.Len64(value) - 1 - precisionBits
	return (shift+1)<<precisionBits + int(value>>shift) - 1<<precisionBits
}

// bucketEnd gives the greatest value in a bucket.
func bucketEnd(index int) int64 {
	group := index >> precisionBits
	if group == 0 {
		return int64(index)
	}
	low := uint64(1<<precisionBits + index&(1<<precisionBits-1))
	return int64((low+1)<<(group-1) - 1)
}

// spread is what is reported of a histogram, in milliseconds.
type spread struct {
	Count uint64  `json:"count"`
	Mean  float64 `json:"mean"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

// spread gives nil where nothing was counted.
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
