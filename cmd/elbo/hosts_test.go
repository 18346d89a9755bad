//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// hosts are two networks on this machine, each with a name and an address of its own, as two
// machines with a cable between them.
type hosts struct {
	*runner
	agent string // stands in for ssh
}

// newHosts makes them, which takes the rights of root.
func newHosts(r *runner) *hosts {
	r.t.Helper()
	if os.Geteuid() != 0 {
		r.t.Skip("networks are made as root")
	}
	sh := func(script string) error {
		out, err := exec.Command("sh", "-ec", script).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
		return err
	}
	const down = "for n in 1 2; do kill -9 $(ip netns pids elbo$n 2>/dev/null) 2>/dev/null || true; ip netns del elbo$n 2>/dev/null || true; done\n"
	r.t.Cleanup(func() { sh(down) })
	if err := sh(down + `for n in 1 2; do ip netns add elbo$n; ip -n elbo$n link set lo up; done
ip link add ev1 netns elbo1 type veth peer name ev2 netns elbo2
for n in 1 2; do ip -n elbo$n addr add 10.77.0.$n/24 dev ev$n; ip -n elbo$n link set ev$n up; done`); err != nil {
		r.t.Skipf("networks cannot be made here: %v", err)
	}
	h := &hosts{r, filepath.Join(r.dir, "agent")}
	agent := "#!/bin/sh\nhost=${1##*.}; shift\nexec ip netns exec elbo$host unshare --uts sh -c \"hostname node$host; $*\"\n"
	if err := os.WriteFile(h.agent, []byte(agent), 0o755); err != nil {
		r.t.Fatal(err)
	}
	return h
}

// mpirun starts a process on each host, over TCP.
func (h *hosts) mpirun(env []string, args ...string) *process {
	h.t.Helper()
	command := append([]string{"netns", "exec", "elbo1", "unshare", "--uts", "sh", "-c", `hostname node1; exec "$@"`, "sh",
		h.openMPI(), "--allow-run-as-root", "-np", "2", "-H", "10.77.0.1:1,10.77.0.2:1", "--mca", "plm_rsh_agent", h.agent,
		"--mca", "btl", "tcp,self", "--mca", "btl_tcp_if_include", "10.77.0.0/24", "--mca", "oob_tcp_if_include", "10.77.0.0/24",
		"-x", "ELBO_BLAS", "-x", "ELBO_MPI_TIMEOUT", "-x", "PATH", "elbo"}, args...)
	cmd := exec.Command("ip", command...)
	cmd.Env = append([]string{"ELBO_MPI_TIMEOUT=1m"}, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = 10 * time.Second
	return h.launch(cmd, func(p *os.Process) { syscall.Kill(-p.Pid, syscall.SIGKILL) })
}

// TestTwoHostsFitAsOne, and where one of them is cut off the other says which, and the newest
// checkpoint stands.
func TestTwoHostsFitAsOne(t *testing.T) {
	r := newRunner(t, 120, "--binarise", "static", "--hidden", "12", "--latent", "3", "--batch", "16", "--split", "100,10")
	r.openMPI()
	h := newHosts(r)
	h.finish(h.start(append(h.flags, "--epochs", "2", "--out", "alone")...))
	h.finish(h.mpirun(nil, append(h.flags, "--epochs", "2", "--out", "two")...))
	h.wantClose("two", "alone", 100*50e-3*16*6e-8) // as TestSeveralProcessesFitAsOne has it

	p := h.mpirun([]string{"ELBO_MPI_TIMEOUT=3s"}, append(h.flags, "--epochs", "100000", "--out", "cut")...)
	h.waitUntil(p, "a checkpoint is saved", func() bool { return h.newest("cut") != "" })
	if out, err := exec.Command("ip", "-n", "elbo2", "link", "set", "ev2", "down").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	// The launcher cannot reach the other host either, and may wait for it for ever.
	ended := make(chan error, 1)
	go func() { ended <- p.Wait() }()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("the run ended well without one of its hosts")
		}
	case <-time.After(30 * time.Second):
		syscall.Kill(-p.Process.Pid, syscall.SIGKILL)
		<-ended
	}
	if text := p.stderr.String() + p.stdout.String(); !strings.Contains(text, "rank 1 has not answered for 3s") {
		t.Errorf("rank 1 is not named:\n%s", text)
	}
	eval := h.start("eval", "cut", "--checkpoint", "last", "--samples", "2")
	h.finish(eval)
}
