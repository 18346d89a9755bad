// Package mpi lets the processes that an MPI launcher has started, mpirun or srun, sum what
// they come to, as [World]. The library of the launcher, Open MPI or one with MPICH's binary
// interface, is opened at run time, and only by a process that was started so: the program
// needs none to be built or to run alone.
//
// All calls are made by one thread, and none of them waits without end: every collective is
// a non-blocking one that is asked for until it is done, so that a rank that has died, or is
// out of reach, is found out after a time limit, and named. A rank that is still at work of its
// own answers when it is asked, and is waited for.
package mpi
