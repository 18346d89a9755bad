package modeltest

import "sync"

// Member is one of several processes that work together, here a goroutine: a train.Reducer.
type Member struct {
	rank int
	team *team
}

// team is where members meet to add what they have: the last to come adds, and all go on.
type team struct {
	mu     sync.Mutex
	values [][]float64 // by rank
	come   int
	done   chan struct{} // closed when this sum is complete
}

// Team returns so many members.
func Team(size int) []Member {
	t := &team{values: make([][]float64, size), done: make(chan struct{})}
	members := make([]Member, size)
	for rank := range members {
		members[rank] = Member{rank, t}
	}
	return members
}

// Rank is that of this member, from 0.
func (m Member) Rank() int { return m.rank }

// Size is the number of members.
func (m Member) Size() int { return len(m.team.values) }

// Sum replaces values by their sums over all members, which are added by rank.
func (m Member) Sum(values []float64) error {
	t := m.team
	t.mu.Lock()
	t.values[m.rank] = values
	t.come++
	done := t.done
	if t.come < len(t.values) {
		t.mu.Unlock()
		<-done
		return nil
	}
	for i := range values {
		sum := 0.0
		for _, v := range t.values {
			sum += v[i]
		}
		for _, v := range t.values {
			v[i] = sum
		}
	}
	t.come, t.done = 0, make(chan struct{})
	t.mu.Unlock()
	close(done)
	return nil
}

// SumFloat32 is Sum of numbers in single precision, of several slices.
func (m Member) SumFloat32(values ...[]float32) error {
	for _, slice := range values {
		wide := make([]float64, len(slice))
		for i, v := range slice {
			wide[i] = float64(v)
		}
		if err := m.Sum(wide); err != nil {
			return err
		}
		for i, v := range wide {
			slice[i] = float32(v)
		}
	}
	return nil
}
