package train

import (
	"fmt"

	"elbo/train/run"
)

// The functions of this file look the kind of a run's model up among the kinds that they
// are given, by default Kinds.

// CreateRun makes a run directory for a configuration. See run.Create.
func CreateRun(path string, c Config) (*run.Dir, error) {
	return run.Create(path, c.JSON(), CheckState(c.known()...))
}

// OpenRun opens a run for writing. See run.Open.
func OpenRun(path string, kinds ...Kind) (*run.Dir, error) {
	return run.Open(path, CheckState(kinds...))
}

// ReadRun opens a run for reading. See run.Read.
func ReadRun(path string, kinds ...Kind) (*run.Dir, error) {
	return run.Read(path, CheckState(kinds...))
}

// LoadCheckpoint reads the checkpoint at path. See run.Load.
func LoadCheckpoint(path string, kinds ...Kind) (*run.State, error) {
	return run.Load(path, CheckState(kinds...))
}

// CheckState returns a check that fails with run.ErrDamaged where the configuration of a
// checkpoint is none that a run could have, or where the state is no place in such a run.
func CheckState(kinds ...Kind) func(*run.State) error {
	return func(s *run.State) error {
		_, err := Configuration(s, kinds...)
		return err
	}
}

// Configuration reads the configuration of a checkpoint. It fails as CheckState has it.
func Configuration(s *run.State, kinds ...Kind) (Config, error) {
	c, err := ReadConfig(s.Config, kinds...)
	if err == nil {
		err = c.Validate()
	}
	if err != nil {
		return c, fmt.Errorf("%w: elbo.config is no configuration of this elbo (of a newer one?): %w", run.ErrDamaged, err)
	}
	if n := c.trainingImages(); s.Position > n {
		return c, fmt.Errorf("%w: elbo.position is %d, but an epoch has %d images", run.ErrDamaged, s.Position, n)
	}
	return c, nil
}

// Behind returns the passes that a checkpoint has behind it; none of nil.
func Behind(s *run.State, kinds ...Kind) run.Span {
	if s == nil {
		return run.Span{}
	}
	if c, err := Configuration(s, kinds...); err == nil && c.HasTable() {
		return run.Span{Unit: "iteration", End: int(s.Step)}
	}
	return run.Span{Unit: "epoch", First: 1, End: s.Epoch}
}
