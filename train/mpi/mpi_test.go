//go:build linux || darwin

package mpi_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"elbo/train/mpi"
)

// TestMain is a test, and what the tests have mpirun start: a rank, that does what the
// variable says.
func TestMain(m *testing.M) {
	name := os.Getenv("ELBO_TEST_RANK")
	if name == "" {
		os.Exit(m.Run())
	}
	if err := rank(name); err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
}

var ranks = map[string]func(w *mpi.World) error{
	"sums": func(w *mpi.World) error {
		// Of many numbers, so that a sum takes the way of large messages, and of one.
		for _, n := range []int{1, 7, 100_000} {
			wide, narrow := make([]float64, n), make([]float32, n)
			for i := range n {
				wide[i], narrow[i] = float64(i+w.Rank()), float32(i%100+w.Rank())
			}
			if err := errors.Join(w.Sum(wide), w.SumFloat32(narrow), w.Sum(nil)); err != nil {
				return err
			}
			ranks := float64(w.Size() * (w.Size() - 1) / 2) // the sum of their numbers
			for i := range n {
				if want := float64(w.Size()*i) + ranks; wide[i] != want {
					return fmt.Errorf("element %d of %d is %g, want %g", i, n, wide[i], want)
				}
				if want := float64(w.Size()*(i%100)) + ranks; float64(narrow[i]) != want {
					return fmt.Errorf("float32 %d of %d is %g, want %g", i, n, narrow[i], want)
				}
			}
		}
		// Several at once, short ones among long ones.
		var several [][]float32
		for i, n := range []int{3, 40_000, 0, 5, 16_384, 16_385} {
			several = append(several, slices.Repeat([]float32{float32(i + w.Rank())}, n))
		}
		if err := w.SumFloat32(several...); err != nil {
			return err
		}
		for i, v := range several {
			want := float32(w.Size()*i + w.Size()*(w.Size()-1)/2)
			if at := slices.IndexFunc(v, func(x float32) bool { return x != want }); at >= 0 {
				return fmt.Errorf("of several, element %d of slice %d is %g, want %g", at, i, v[at], want)
			}
		}
		return nil
	},
	"gather": func(w *mpi.World) error {
		own := bytes.Repeat([]byte{byte('a' + w.Rank())}, 3*w.Rank()) // of rank 0 nothing
		parts, err := w.Gather(own)
		if err != nil {
			return err
		}
		for rank, part := range parts {
			if want := bytes.Repeat([]byte{byte('a' + rank)}, 3*rank); !bytes.Equal(part, want) {
				return fmt.Errorf("rank %d had %q, want %q", rank, part, want)
			}
		}
		told := []byte("nothing")
		if w.Rank() == 0 {
			copy(told, "a thing")
		}
		if err := w.Broadcast(told); err != nil || string(told) != "a thing" {
			return fmt.Errorf("rank 0 told %q, %v", told, err)
		}
		return nil
	},
	"late": func(w *mpi.World) error {
		if w.Rank() == 1 {
			time.Sleep(2 * lateLimit) // at work: twice as long as it may be silent
		}
		one := []float64{1}
		if err := w.Sum(one); err != nil || one[0] != float64(w.Size()) {
			return fmt.Errorf("the sum with a late rank: %g, %v", one[0], err)
		}
		return nil
	},
	"absent": func(w *mpi.World) error {
		if w.Rank() == 1 {
			return syscall.Kill(os.Getpid(), syscall.SIGSTOP) // the others end all
		}
		err := w.Sum([]float64{1})
		var absent *mpi.AbsentError
		if !errors.As(err, &absent) || !slices.Equal(absent.Missing, []string{"1"}) {
			return fmt.Errorf("the sum without rank 1: %v", err)
		}
		fmt.Println("found:", err)
		w.Abort(7)
		return nil
	},
}

// lateLimit is long enough for three ranks that begin together on a machine with much else to do.
const lateLimit = 5 * time.Second

func rank(name string) error {
	launch, ok := mpi.Launched(os.Getenv)
	if !ok {
		return errors.New("started by no launcher")
	}
	limit := mpi.DefaultLimit
	switch name {
	case "absent":
		limit = time.Second
	case "late":
		limit = lateLimit
	}
	w, err := mpi.Open(mpi.Options{By: launch.By, Limit: limit, Now: time.Now})
	if err != nil {
		return err
	}
	if launch.Size != w.Size() {
		return fmt.Errorf("%d ranks, %d were announced", w.Size(), launch.Size)
	}
	if err := ranks[name](w); err != nil {
		w.Abort(1)
		return err
	}
	fmt.Printf("rank %d of %d: done\n", w.Rank(), w.Size())
	return w.Close()
}

// launchers are those that the tests know, by the Debian package: the first name that is on the
// path, and what it wants to be told to start more processes than there are CPUs, as root.
var launchers = []struct {
	names   []string
	flags   []string
	debian  string
	version string // what it says of itself
}{
	{[]string{"mpirun.openmpi", "mpirun"}, []string{"--oversubscribe", "--allow-run-as-root"}, "openmpi-bin", "Open"},
	{[]string{"mpirun.mpich", "mpiexec.hydra"}, nil, "mpich", "HYDRA"},
}

// underEach calls test with each launcher that is installed: all of them in CI.
func underEach(t *testing.T, test func(t *testing.T, start func(size int, name string) (string, error))) {
	for _, l := range launchers {
		t.Run(l.debian, func(t *testing.T) {
			path := ""
			for _, name := range l.names {
				if found, err := exec.LookPath(name); path == "" && err == nil {
					if says, _ := exec.Command(found, "--version").CombinedOutput(); bytes.Contains(says, []byte(l.version)) {
						path = found
					}
				}
			}
			if path == "" {
				if os.Getenv("CI") != "" {
					t.Fatalf("%s is not installed, and CI is to have it", l.debian)
				}
				t.Skipf("%s is not installed", l.debian)
			}
			test(t, func(size int, name string) (string, error) {
				cmd := exec.Command(path, append(append([]string{"-np", strconv.Itoa(size)}, l.flags...), os.Args[0])...)
				cmd.Env = append(os.Environ(), "ELBO_TEST_RANK="+name)
				out, err := cmd.CombinedOutput()
				return string(out), err
			})
		})
	}
}

func TestRanksSumWhatTheyHave(t *testing.T) {
	underEach(t, func(t *testing.T, start func(size int, name string) (string, error)) {
		for _, size := range []int{1, 2, 3} {
			for _, name := range []string{"sums", "gather"} {
				out, err := start(size, name)
				if err != nil || strings.Count(out, ": done") != size {
					t.Errorf("%s, %d ranks: %v\n%s", name, size, err, out)
				}
			}
		}
	})
}

// TestARankAtWorkIsWaitedFor, longer than one that is silent.
func TestARankAtWorkIsWaitedFor(t *testing.T) {
	underEach(t, func(t *testing.T, start func(size int, name string) (string, error)) {
		out, err := start(3, "late")
		if err != nil || strings.Count(out, ": done") != 3 {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

func TestARankThatDoesNotAnswerIsNamed(t *testing.T) {
	underEach(t, func(t *testing.T, start func(size int, name string) (string, error)) {
		out, err := start(3, "absent")
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 7 || !strings.Contains(out, "rank 1 has not answered for 1s") {
			t.Errorf("exit %v, want 7\n%s", err, out)
		}
	})
}

func TestLauncherIsToldFromTheEnvironment(t *testing.T) {
	for _, c := range []struct {
		environment map[string]string
		want        mpi.Launch
		ok          bool
	}{
		{nil, mpi.Launch{}, false},
		{map[string]string{"SLURM_NTASKS": "4"}, mpi.Launch{}, false}, // inside a job, but not started by srun --mpi
		{map[string]string{"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_LOCAL_SIZE": "2"}, mpi.Launch{By: "OMPI_COMM_WORLD_RANK", Size: 4, Local: 2}, true},
		{map[string]string{"PMI_RANK": "1", "PMI_SIZE": "3"}, mpi.Launch{By: "PMI_RANK", Rank: 1, Size: 3}, true},
		{map[string]string{"PMIX_RANK": "1", "SLURM_NTASKS": "8", "SLURM_NTASKS_PER_NODE": "x"}, mpi.Launch{By: "PMIX_RANK", Rank: 1, Size: 8}, true},
	} {
		got, ok := mpi.Launched(func(name string) string { return c.environment[name] })
		if got != c.want || ok != c.ok {
			t.Errorf("%v: %+v, %v", c.environment, got, ok)
		}
	}
}
