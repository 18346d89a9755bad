package mpi

import "strconv"

// Launch is what a launcher has told this process before MPI begins.
type Launch struct {
	By    string // the variable that says so
	Rank  int    // of this process
	Size  int    // processes, 0 where it is not told
	Local int    // those on this machine, 0 where it is not told
}

// launchers are the variables that a launcher sets in every process, with those that hold the
// number of processes in all and on the machine: Open MPI's mpirun; MPICH's, Intel's and
// MVAPICH's (Hydra), and srun --mpi=pmi2; srun --mpi=pmix, where Slurm says the numbers.
var launchers = []struct{ rank, size, local string }{
	{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE"},
	{"PMI_RANK", "PMI_SIZE", "MPI_LOCALNRANKS"},
	{"PMIX_RANK", "SLURM_NTASKS", "SLURM_NTASKS_PER_NODE"},
}

// Launched reports whether a launcher has started this process, from the environment.
func Launched(getenv func(name string) string) (Launch, bool) {
	for _, l := range launchers {
		if getenv(l.rank) == "" {
			continue
		}
		number := func(name string) int {
			n, err := strconv.Atoi(getenv(name))
			if err != nil || n < 1 {
				return 0
			}
			return n
		}
		return Launch{By: l.rank, Rank: number(l.rank), Size: number(l.size), Local: number(l.local)}, true
	}
	return Launch{}, false
}
