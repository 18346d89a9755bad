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
	Limit   time.Duration // how long a rank may leave the others without an answer
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

	own     []byte         // what goes into a sum
	pinned  runtime.Pinner // of the collective that is under way
	letters *letters
	kept    *runtime.Pinner
	replied time.Time // when last
	ended   bool

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
	w := &World{limit: o.Limit, now: o.Now, replied: o.Now(), letters: &letters{states: [2]byte{busy, waiting}}, calls: make(chan func()), closed: make(chan struct{})}
	begun := make(chan error)
	go func() {
		runtime.LockOSThread() // every call from this thread
		defer close(w.closed)
		err := w.begin(o)
		begun <- err
		if err != nil {
			return
		}
		listen := time.NewTicker(w.listens())
		defer listen.Stop()
		for {
			select {
			case call, ok := <-w.calls:
				if !ok {
					return
				}
				call()
			case <-listen.C:
				if !w.ended {
					_ = w.reply(busy) // who does not hear it says so
				}
			}
		}
	}()
	if err := <-begun; err != nil {
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
	w.letters.answers, w.letters.expected = make([]byte, size), make([]*uintptr, size)
	var kept runtime.Pinner // for as long as the process is there
	kept.Pin(w.letters)
	kept.Pin(&w.letters.answers[0])
	w.kept = &kept
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
	err := w.do(func() error {
		w.ended = true // and answers no more
		return w.lib.call("MPI_Finalize")
	})
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
	for allWaited := false; ; {
		done, err := w.wait(w.limit, request)
		if done || err != nil {
			return err
		}
		allWait, err := w.callTheRoll(request)
		if err == nil && allWait && allWaited {
			err = &AbsentError{Rank: w.rank, After: w.limit}
		}
		if err != nil {
			return err
		}
		allWaited = allWait
	}
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
			if now := w.now(); now.Sub(w.replied) > w.listens() {
				if err := w.reply(waiting); err != nil {
					return false, err
				}
			}
			time.Sleep(pause)
		}
	}
}

// question and answer are the tags of messages by which a rank learns whether another is there.
const question, answer = 77, 78

// What a rank answers.
const (
	busy    byte = iota // with work of its own: who waits may go on waiting
	waiting             // in a collective
)

// listens is how long at most a question lies unread.
func (w *World) listens() time.Duration { return min(w.limit/4, time.Second/2) }

// reply answers the ranks that have asked whether this one is there.
func (w *World) reply(state byte) error {
	w.replied = w.now()
	flag, request := new(int32), new(uintptr)
	for rank := range w.size {
		if rank == w.rank {
			continue
		}
		for {
			if err := w.lib.call("MPI_Iprobe", uintptr(rank), question, w.lib.world, uintptr(unsafe.Pointer(flag)), w.lib.statusIgnore); err != nil {
				return err
			}
			if *flag == 0 {
				break
			}
			if err := w.lib.call("MPI_Irecv", uintptr(unsafe.Pointer(&w.letters.asked)), 1, w.lib.bytes, uintptr(rank), question, w.lib.world, uintptr(unsafe.Pointer(request))); err != nil {
				return err
			}
			if _, err := w.wait(w.limit, request); err != nil {
				return err
			}
			if err := w.send(&w.letters.states[state], rank, answer); err != nil {
				return err
			}
		}
	}
	return nil
}

// letters are what goes between ranks that ask whether others are there. They stay where they
// are: of what is sent nobody waits for the end.
type letters struct {
	states  [2]byte // busy, waiting
	asked   byte
	answers []byte // by rank

	expected []*uintptr // answers, by rank; nil for none
}

// send sends a byte that does not change.
func (w *World) send(letter *byte, rank int, tag uintptr) error {
	request := new(uintptr)
	if err := w.lib.call("MPI_Isend", uintptr(unsafe.Pointer(letter)), 1, w.lib.bytes, uintptr(rank), tag, w.lib.world, uintptr(unsafe.Pointer(request))); err != nil {
		return err
	}
	return w.lib.call("MPI_Request_free", uintptr(unsafe.Pointer(request)))
}

// callTheRoll asks every other rank whether it is there, while a collective is not done. It fails
// with an *AbsentError where one does not answer in time, and reports whether all of them wait
// as well. It ends at once where the collective is done after all: others may then have gone on,
// and answer later, if ever.
func (w *World) callTheRoll(collective *uintptr) (allWait bool, err error) {
	for rank := range w.size {
		if rank == w.rank || w.letters.expected[rank] != nil {
			continue
		}
		request := new(uintptr)
		w.letters.expected[rank] = request
		if err := errors.Join(
			w.lib.call("MPI_Irecv", uintptr(unsafe.Pointer(&w.letters.answers[rank])), 1, w.lib.bytes, uintptr(rank), answer, w.lib.world, uintptr(unsafe.Pointer(request))),
			w.send(&w.letters.states[waiting], rank, question),
		); err != nil {
			return false, err
		}
	}
	began := w.now()
	for {
		var missing []string
		allWait = true
		for rank, request := range w.letters.expected {
			if request != nil {
				if there, err := w.wait(0, request); err != nil || !there {
					missing = append(missing, strconv.Itoa(rank))
					continue
				}
				w.letters.expected[rank] = nil
			}
			allWait = allWait && (rank == w.rank || w.letters.answers[rank] == waiting)
		}
		if missing == nil {
			return allWait, nil
		}
		if done, err := w.wait(w.listens()/10, collective); done || err != nil {
			return false, err
		}
		if w.now().Sub(began) > w.limit {
			return false, &AbsentError{Rank: w.rank, Missing: missing, After: w.limit}
		}
		if err := w.reply(waiting); err != nil {
			return false, err
		}
	}
}

// AbsentError is a rank, or several, that the others have waited for in vain.
type AbsentError struct {
	Rank    int      // that has waited
	Missing []string // ranks; none where all wait as well
	After   time.Duration
}

func (e *AbsentError) Error() string {
	switch len(e.Missing) {
	case 0:
		return fmt.Sprintf("rank %d: a sum over all ranks was not done after %v, though every rank waits for it: they do not do the same", e.Rank, e.After)
	case 1:
		return fmt.Sprintf("rank %d: rank %s has not answered for %v", e.Rank, e.Missing[0], e.After)
	}
	return fmt.Sprintf("rank %d: ranks %s have not answered for %v", e.Rank, strings.Join(e.Missing, ", "), e.After)
}
