package infer

import "fmt"

// OptionError is a request that makes no sense, or that this model cannot answer.
type OptionError struct{ Err error }

func (e *OptionError) Error() string { return e.Err.Error() }
func (e *OptionError) Unwrap() error { return e.Err }

// faults collects what is wrong, so that all of it is said at once.
type faults []error

// add adds a fault if bad.
func (f *faults) add(bad bool, format string, args ...any) {
	if bad {
		*f = append(*f, fmt.Errorf(format, args...))
	}
}
