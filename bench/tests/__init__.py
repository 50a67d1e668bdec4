"""Tests of the benchmark itself; loadgen/ has its own: go test ./..."""
