package train

import (
	"fmt"

	"elbo/train/run"
)

// CreateRun makes a run directory for a configuration. See run.Create.
func CreateRun(path string, c Config) (*run.Dir, error) {
	return run.Create(path, c.JSON(), CheckState)
}

// OpenRun opens a run for writing. See run.Open.
func OpenRun(path string) (*run.Dir, error) { return run.Open(path, CheckState) }

// ReadRun opens a run for reading. See run.Read.
func ReadRun(path string) (*run.Dir, error) { return run.Read(path, CheckState) }

// LoadCheckpoint reads the checkpoint at path. See run.Load.
func LoadCheckpoint(path string) (*run.State, error) { return run.Load(path, CheckState) }

// CheckState fails with run.ErrDamaged where the configuration of a checkpoint is none that
// a run could have, or where the state is no place in such a run.
func CheckState(s *run.State) error {
	_, err := Configuration(s)
	return err
}

// Configuration reads the configuration of a checkpoint. It fails as CheckState does.
func Configuration(s *run.State) (Config, error) {
	c := DefaultConfig(VAEModel)
	err := c.ReadConfig(s.Config)
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
func Behind(s *run.State) run.Span {
	if s == nil {
		return run.Span{}
	}
	if c, err := Configuration(s); err == nil && c.Model != VAEModel {
		return run.Span{Unit: "iteration", End: int(s.Step)}
	}
	return run.Span{Unit: "epoch", First: 1, End: s.Epoch}
}
