package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestBucketsCoverAllValuesWithoutOverlap(t *testing.T) {
	for index := range 40 << precisionBits {
		end := bucketEnd(index)
		if bucket(uint64(end)) != index || bucket(uint64(end)+1) != index+1 {
			t.Fatalf("bucket %d ends at %d, which lies in %d; the next value in %d",
				index, end, bucket(uint64(end)), bucket(uint64(end)+1))
		}
	}
	var h histogram
	h.add(math.MaxInt64)
	if h.percentile(1) != math.MaxInt64 {
		t.Error("the greatest duration has no bucket")
	}
}

func TestPercentilesMatchSortedValues(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for _, count := range []int{1, 2, 3, 99, 100, 101, 5000} {
		var h histogram
		values := make([]int64, count)
		for i := range values {
			values[i] = int64(math.Exp(random.Float64() * 25))
			h.add(values[i])
		}
		slices.Sort(values)
		for _, share := range []float64{0.5, 0.9, 0.99, 1} {
			want := values[int(math.Ceil(share*float64(count)))-1]
			got := h.percentile(share)
			if got < want || float64(got) > float64(want)*(1+1.0/256)+1 {
				t.Errorf("%d values, share %g: got %d, want %d", count, share, got, want)
			}
		}
	}
}

func TestEmptyHistogram(t *testing.T) {
	var h histogram
	if h.percentile(0.5) != 0 || h.spread() != nil {
		t.Error("an empty histogram has figures")
	}
	h.add(-5)
	if h.spread().Max != 0 {
		t.Error("a duration below 0 does not count as 0")
	}
}
