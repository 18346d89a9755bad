package mpi

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"
)

// Options are what a World is told.
type Options struct {
	Library string        // the library's path; "": the first that is found
	By      string        // the launcher's variable, see Launch
	Limit   time.Duration // how long a rank may keep the others waiting
	Now     func() time.Time
}

// DefaultLimit is long enough for a rank that writes a large checkpoint to a slow disk.
const DefaultLimit = 2 * time.Minute

// World are all the processes of one launch, of which this is one. It is a
// train.Reducer. Every rank has to call the same methods in the same order.
type World struct {
	lib        *library
	rank, size int
	limit      time.Duration
	now        func() time.Time

	interrupted func() bool // whether this rank is to stop; nil: never asked
	stop        func()      // called on every rank once one of them is to

	own    []byte         // what goes into a sum
	pinned runtime.Pinner // of the collective that is under way
	calls  chan func()
	closed chan struct{}
}

// Watch has every Sum tell all ranks whether one of them is to stop: where interrupted says so
// on any rank, stop is called on each, before that same Sum returns. Every rank has to call it.
func (w *World) Watch(interrupted func() bool, stop func()) {
	w.interrupted, w.stop = interrupted, stop
}

// Open begins MPI. Close ends it.
func Open(o Options) (*World, error) {
	w := &World{limit: o.Limit, now: o.Now, calls: make(chan func()), closed: make(chan struct{})}
	begun := make(chan error)
	go func() {
		runtime.LockOSThread() // every call from this thread
		defer close(w.closed)
		begun <- w.begin(o)
		for call := range w.calls {
			call()
		}
	}()
	if err := <-begun; err != nil {
		close(w.calls)
		return nil, err
	}
	return w, nil
}

// funneled is MPI_THREAD_FUNNELED: a program of several threads, one of which calls.
const funneled = 1

func (w *World) begin(o Options) error {
	var err error
	if w.lib, err = open(o.Library, o.By); err != nil {
		return fmt.Errorf("%s says that MPI has started this process, and no MPI library is found: install the launcher's own (Debian: libopenmpi3, or libmpich12 for that of MPICH), or name it with ELBO_MPI=PATH:\n%w", o.By, err)
	}
	var provided, rank, size int32
	l := w.lib
	if err := l.call("MPI_Init_thread", 0, 0, funneled, uintptr(unsafe.Pointer(&provided))); err != nil {
		return err
	}
	if err := l.call("MPI_Comm_set_errhandler", l.world, l.errorsReturn); err != nil {
		return err
	}
	if err := errors.Join(
		l.call("MPI_Comm_rank", l.world, uintptr(unsafe.Pointer(&rank))),
		l.call("MPI_Comm_size", l.world, uintptr(unsafe.Pointer(&size))),
	); err != nil {
		return err
	}
	w.rank, w.size = int(rank), int(size)
	return nil
}

// do has f called by the thread of MPI.
func (w *World) do(f func() error) error {
	answer := make(chan error)
	w.calls <- func() { answer <- f() }
	return <-answer
}

// Rank is that of this process, from 0.
func (w *World) Rank() int { return w.rank }

// Size is the number of processes.
func (w *World) Size() int { return w.size }

// Closed reports whether Close was called.
func (w *World) Closed() bool {
	select {
	case <-w.closed:
		return true
	default:
		return false
	}
}

// Close ends MPI: every rank has to call it, or the launcher takes the end of this one for
// a failure.
func (w *World) Close() error {
	err := w.do(func() error { return w.lib.call("MPI_Finalize") })
	close(w.calls)
	<-w.closed
	return err
}

// heard is how long a launcher may take to read what a rank has said: MPICH's drops what it has
// not read by the time of an abort.
const heard = 300 * time.Millisecond

// Abort ends all processes of the launch, this one among them, with an exit code.
func (w *World) Abort(code int) {
	time.Sleep(heard)
	_ = w.do(func() error { return w.lib.call("MPI_Abort", w.lib.world, uintptr(code)) })
}

// Sum replaces values by their sums over all ranks. With the same number of ranks the bits
// of a sum are the same every time.
func (w *World) Sum(values []float64) error {
	if len(values) == 0 {
		return nil
	}
	if w.interrupted == nil {
		return w.together(w.allreduce(unsafe.Pointer(&values[0]), len(values), 8, w.lib.float64s))
	}
	told := append(slices.Clone(values), 0)
	if w.interrupted() {
		told[len(values)] = 1
	}
	if err := w.together(w.allreduce(unsafe.Pointer(&told[0]), len(told), 8, w.lib.float64s)); err != nil {
		return err
	}
	copy(values, told)
	if told[len(values)] > 0 {
		w.stop()
	}
	return nil
}

// short is the length up to which slices are sent as one: what they take is latency.
const short = 1 << 14

// SumFloat32 is Sum of numbers in single precision, of several slices, one after the other, the
// short ones together.
func (w *World) SumFloat32(values ...[]float32) error {
	var sums []collective
	var packed []float32
	for _, v := range values {
		if len(v) > short {
			sums = append(sums, w.allreduce(unsafe.Pointer(&v[0]), len(v), 4, w.lib.float32s))
		} else {
			packed = append(packed, v...)
		}
	}
	if len(packed) > 0 {
		sums = append(sums, w.allreduce(unsafe.Pointer(&packed[0]), len(packed), 4, w.lib.float32s))
	}
	if err := w.together(sums...); err != nil {
		return err
	}
	for _, v := range values {
		if len(v) <= short {
			packed = packed[copy(v, packed):]
		}
	}
	return nil
}

// allreduce sums n values of so many bytes. What goes in is a copy, and the sum comes to the
// place of the values: of a sum in place Open MPI sends the whole up and down a tree, log R times,
// and otherwise parts of it, as much as twice the whole (coll/libnbc of its versions 4 and 5).
func (w *World) allreduce(values unsafe.Pointer, n, bytes int, kind uintptr) collective {
	return collective{values, func(request *uintptr) error {
		w.own = append(w.own[:0], unsafe.Slice((*byte)(values), n*bytes)...)
		w.pinned.Pin(&w.own[0])
		return w.lib.call("MPI_Iallreduce", uintptr(unsafe.Pointer(&w.own[0])), uintptr(values), uintptr(n), kind, w.lib.sum, w.lib.world, uintptr(unsafe.Pointer(request)))
	}}
}

// Broadcast replaces values by those of rank 0.
func (w *World) Broadcast(values []byte) error {
	if len(values) == 0 {
		return nil
	}
	buffer := unsafe.Pointer(&values[0])
	return w.together(collective{buffer, func(request *uintptr) error {
		return w.lib.call("MPI_Ibcast", uintptr(buffer), uintptr(len(values)), w.lib.bytes, 0, w.lib.world, uintptr(unsafe.Pointer(request)))
	}})
}

// Gather returns what each rank has, by rank, on every rank.
func (w *World) Gather(own []byte) ([][]byte, error) {
	counts := make([]int32, w.size)
	counts[w.rank] = int32(len(own))
	if err := w.together(collective{unsafe.Pointer(&counts[0]), func(request *uintptr) error {
		return w.lib.call("MPI_Iallgather", w.lib.inPlace, 0, w.lib.bytes, uintptr(unsafe.Pointer(&counts[0])), 4, w.lib.bytes, w.lib.world, uintptr(unsafe.Pointer(request)))
	}}); err != nil {
		return nil, err
	}
	first, total := make([]int32, w.size), 0
	for i, n := range counts {
		first[i] = int32(total)
		total += int(n)
	}
	all := make([]byte, total+1) // so that there is a first one
	copy(all[first[w.rank]:], own)
	if err := w.together(collective{unsafe.Pointer(&all[0]), func(request *uintptr) error {
		return w.lib.call("MPI_Iallgatherv", w.lib.inPlace, 0, w.lib.bytes, uintptr(unsafe.Pointer(&all[0])), uintptr(unsafe.Pointer(&counts[0])), uintptr(unsafe.Pointer(&first[0])), w.lib.bytes, w.lib.world, uintptr(unsafe.Pointer(request)))
	}}); err != nil {
		return nil, err
	}
	parts := make([][]byte, w.size)
	for i, n := range counts {
		parts[i] = all[first[i]:][:n]
	}
	runtime.KeepAlive(first)
	return parts, nil
}

// collective is what all ranks take part in, and the memory that it is about.
type collective struct {
	memory unsafe.Pointer
	start  func(request *uintptr) error
}

// together makes some collectives, one after the other. They are one errand of the thread of
// MPI: to hand it an errand may take as long as a small sum.
func (w *World) together(all ...collective) error {
	return w.do(func() error {
		for _, c := range all {
			if err := w.complete(c); err != nil {
				return err
			}
		}
		return nil
	})
}

// complete starts a collective, and waits until it is done. Its memory stays where it is until
// then.
func (w *World) complete(c collective) error {
	defer w.pinned.Unpin()
	w.pinned.Pin((*byte)(c.memory))
	request := new(uintptr)
	if err := c.start(request); err != nil {
		return err
	}
	done, err := w.wait(w.limit, request)
	if done || err != nil {
		return err
	}
	return w.absent()
}

// How a rank waits: it asks again and again, as what it waits for may need it to come about; after
// asksInARow it lets others run in between, if they share its CPU; after patient it sleeps, as
// not to be early costs nothing then. A sleep takes some five times as long as is asked for,
// and what others send meanwhile waits: a rank that sleeps early makes all others late.
const (
	asksInARow = 2000
	patient    = 200 * time.Millisecond
	pause      = 20 * time.Microsecond
)

// wait asks for requests until all are done, which it reports, or the limit has passed.
func (w *World) wait(limit time.Duration, requests ...*uintptr) (done bool, err error) {
	began, flag := time.Time{}, new(int32)
	for asked := 0; ; asked++ {
		done := true
		for _, r := range requests {
			if err := w.lib.call("MPI_Test", uintptr(unsafe.Pointer(r)), uintptr(unsafe.Pointer(flag)), w.lib.statusIgnore); err != nil {
				return false, err
			}
			done = done && *flag != 0
		}
		if done || limit <= 0 {
			return done, nil
		}
		if asked < asksInARow {
			continue
		}
		if began.IsZero() {
			began = w.now()
		}
		switch passed := w.now().Sub(began); {
		case passed > limit:
			return false, nil
		case passed < patient:
			w.lib.yield()
		default:
			time.Sleep(pause)
		}
	}
}

// rollCall is the tag of messages that say: this rank is there.
const rollCall = 77

// absent is the error of a collective that is not done in time. It asks every other rank
// whether it is there: those that wait as well ask, too.
func (w *World) absent() error {
	type call struct{ sent, received *uintptr }
	calls := make([]call, w.size)
	hello := make([]byte, 2*w.size)
	var pinned runtime.Pinner
	defer pinned.Unpin()
	pinned.Pin(&hello[0])
	for rank := range calls {
		if rank == w.rank {
			continue
		}
		calls[rank] = call{new(uintptr), new(uintptr)}
		if err := errors.Join(
			w.lib.call("MPI_Irecv", uintptr(unsafe.Pointer(&hello[2*rank])), 1, w.lib.bytes, uintptr(rank), rollCall, w.lib.world, uintptr(unsafe.Pointer(calls[rank].received))),
			w.lib.call("MPI_Isend", uintptr(unsafe.Pointer(&hello[2*rank+1])), 1, w.lib.bytes, uintptr(rank), rollCall, w.lib.world, uintptr(unsafe.Pointer(calls[rank].sent))),
		); err != nil {
			return err
		}
	}
	var missing []string
	left := w.limit
	for rank, c := range calls {
		if rank == w.rank {
			continue
		}
		began := w.now()
		there, err := w.wait(left, c.received)
		if !there || err != nil {
			missing = append(missing, strconv.Itoa(rank))
		}
		left = max(left-w.now().Sub(began), time.Millisecond)
	}
	return &AbsentError{Rank: w.rank, Missing: missing, After: w.limit}
}

// AbsentError is a rank, or several, that the others have waited for in vain.
type AbsentError struct {
	Rank    int      // that has waited
	Missing []string // ranks; none where all have answered in the end
	After   time.Duration
}

func (e *AbsentError) Error() string {
	switch len(e.Missing) {
	case 0:
		return fmt.Sprintf("rank %d: a sum over all ranks was not done after %v, though every rank is there: they do not do the same", e.Rank, e.After)
	case 1:
		return fmt.Sprintf("rank %d: rank %s has not answered for %v", e.Rank, e.Missing[0], e.After)
	}
	return fmt.Sprintf("rank %d: ranks %s have not answered for %v", e.Rank, strings.Join(e.Missing, ", "), e.After)
}
