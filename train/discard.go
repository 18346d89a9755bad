package train

import (
	"errors"
	"os"

	"elbo/train/run"
)

// DiscardUnsaved removes what a run that diverged has left where none of it is worth keeping:
// neither the run nor one of its restarts has saved a checkpoint. The directory is removed too
// where made says that it was made for this run. It reports whether the run is gone, and then has
// closed it.
func DiscardUnsaved(dir *run.Dir, made bool) (bool, error) {
	restarts, err := Restarts(dir.Path)
	if err != nil {
		return false, err
	}
	for _, path := range restarts {
		restart, err := OpenRun(path)
		if err != nil {
			return false, nil // it holds something else
		}
		gone, err := restart.Discard()
		if err = errors.Join(err, restart.Close()); !gone || err != nil {
			return false, err
		}
		if err := os.Remove(path); err != nil {
			return false, err
		}
	}
	gone, err := dir.Discard()
	if gone && made && err == nil {
		err = os.Remove(dir.Path)
	}
	return gone, err
}
