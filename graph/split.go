package graph

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// Split calls f on consecutive shards of [0, n), concurrently, and returns when
// all are done. There are as many shards as workers, or fewer where a shard
// would be shorter than grain. Where the shards are cut depends on nothing but n,
// grain and the number of workers; who works on which does not matter.
//
// A panic in a shard is raised again in the caller.
func (e *Engine) Split(n, grain int, f func(lo, hi int)) {
	shards := min(e.Workers, n/max(1, grain))
	if shards <= 1 {
		f(0, n)
		return
	}
	s := &split{f: f, n: n, shards: int32(shards), panics: make([]string, shards)}
	s.left.Store(s.shards)
	s.done.Add(shards)
	if e.pool.split.CompareAndSwap(nil, s) {
		e.pool.call(shards - 1)
		s.work()
		e.pool.split.Store(nil)
	} else {
		s.work() // another program has the helpers
	}
	for spins := 0; s.left.Load() > 0; spins++ {
		if spins == spinsToWait { // the system has put the helper aside
			s.done.Wait()
		}
	}
	for _, p := range s.panics {
		if p != "" {
			panic(p)
		}
	}
}

// split is one call of Split.
type split struct {
	f      func(lo, hi int)
	n      int
	shards int32
	panics []string // by shard, with where they came from; "" for none

	next atomic.Int32 // the first shard that nobody has taken
	left atomic.Int32 // how many are not finished
	done sync.WaitGroup
}

// work takes shards until none is left, and reports whether it got any.
func (s *split) work() bool {
	worked := false
	for {
		i := int(s.next.Add(1)) - 1
		if i >= int(s.shards) {
			return worked
		}
		worked = true
		s.shard(i)
	}
}

// shard does the i-th shard, and counts it as done whatever becomes of it.
func (s *split) shard(i int) {
	defer func() {
		if p := recover(); p != nil {
			s.panics[i] = fmt.Sprintf("%v\n%s", p, debug.Stack())
		}
		s.left.Add(-1)
		s.done.Done()
	}()
	s.f(s.n*i/int(s.shards), s.n*(i+1)/int(s.shards))
}

// pool holds an engine's helpers: goroutines that look out for splits. To wake a
// goroutine costs 5 to 10 microseconds, as much as a small product, so a helper that
// has nothing to do goes on looking for a while, makes room for other goroutines in
// between, and ends when there was nothing for long. It need not be on time: the
// caller of Split takes the shards that no helper took.
type pool struct {
	split   atomic.Pointer[split]
	helpers atomic.Int32
}

const (
	spinsPerYield = 4000 // a few microseconds
	yieldsToEnd   = 100
	spinsToWait   = spinsPerYield * yieldsToEnd
)

// call sees to it that there are helpers.
func (p *pool) call(wanted int) {
	for n := p.helpers.Load(); n < int32(wanted); n = p.helpers.Load() {
		if p.helpers.CompareAndSwap(n, n+1) {
			go p.help()
		}
	}
}

func (p *pool) help() {
	var last *split // known to have no shard left
	for idle := 1; ; idle++ {
		if s := p.split.Load(); s != last {
			if last = s; s != nil && s.work() {
				idle = 0
			}
		}
		if idle%spinsPerYield == 0 {
			runtime.Gosched()
		}
		if idle < spinsPerYield*yieldsToEnd {
			continue
		}
		// A split that was published before this helper counted itself out has called
		// for no other.
		p.helpers.Add(-1)
		if s := p.split.Load(); s == last || s == nil {
			return
		}
		p.helpers.Add(1)
		idle = 0
	}
}
