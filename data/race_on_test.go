//go:build race

package data

// raceDetector: the pool of buffers forgets some on purpose, so that allocations do not count.
const raceDetector = true
