"""elbo next to PyTorch, JAX and numpy on the same work, on this machine, in alternating runs.

Install the peers once, into a virtual environment outside this repository (Python 3.11 or later):

    python3 -m venv ~/elbo-peers
    ~/elbo-peers/bin/pip install -r train/testdata/peers/requirements.txt

(some gigabytes; PyTorch's own index has a build of torch for CPUs alone, which is smaller and
counts as the same version), and measure with its Python, some twenty minutes on an idle machine:

    make bench-peers PEERS_PYTHON=~/elbo-peers/bin/python
    make bench-peers PEERS_PYTHON=~/elbo-peers/bin/python PEERS=--quick     (a minute, to try it)

torch.compile needs a C++ compiler.

What is compared. `elbo bench` and the peer do the same work: they train the same network on the
same images with the same batch, loss and optimiser, or fit the same mixture. Before any time is
taken elbo and every run of every peer make the same first pass, and their losses and numbers of
parameters are held against each other; the losses are printed. All read the time in the same
way: the best of eight windows, or the shortest iteration of EM.

Processes take turns: elbo, peer, elbo, peer, elbo, ... at the same number of threads, elbo with as
many --workers; with fewer threads than CPUs a process may use only so many CPUs. Two ratios,
elbo / peer, stand in the table:
  best    the best run of elbo at its best number of threads, by the best run of this setting
          of the peer at its best number of threads
  paired  at equal threads: the mean of the elbo before and the elbo after, by the peer between
          them; the median over the rounds
A ratio travels to other machines better than a figure does. A machine that does other work at
the same time gives neither: `elbo bench` notices most of it, and the table says so.

Long measuring can be cut into pieces: --json FILE keeps what was measured, and
--table FILE FILE ... prints the table of several such files without measuring. Ctrl-C (or SIGTERM)
ends the measuring, and prints the table of what was measured so far.
"""
import argparse
import importlib.metadata
import json
import math
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True  # nothing is left in the repository

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
REQUIREMENTS = HERE / "requirements.txt"
IMAGES = ROOT / "data" / "mnist" / "train-images-idx3-ubyte.gz"

WORKS = {  # name: what, unit
    "vae": ("VAE 784-400-20 relu, batch 128, threshold, training", "images/s"),
    "deep": ("VAE 784-200-200-50 tanh, batch 20, dynamic, training", "images/s"),
    "conv": ("VAE conv 32-64 of 3x3, stride 2, 256-20 relu, batch 128, threshold, training", "images/s"),
    "mixture": ("EM, Bernoulli mixture, K = 500, 60 000 images", "iterations/s"),
}
VAE_PEERS = {  # name: script and its arguments
    "torch-eager": ["torch_vae.py"],
    "torch-compile-loss": ["torch_vae.py", "--compile", "loss"],
    "torch-compile-step": ["torch_vae.py", "--compile", "step"],
    "jax-jit": ["jax_vae.py"],
    "jax-scan": ["jax_vae.py", "--scan"],
}
MIXTURE_PEERS = {f"{library}-{block}": [f"{library}_mixture.py", "--block", str(block)]
                 for library in ("numpy", "torch", "jax") for block in (1000, 4000)}
QUICK = {"torch-eager", "jax-scan", "numpy-4000"}  # of convolutions PyTorch alone

# What would make a process other than it is by itself.
FOREIGN = ("OPENBLAS_", "GOTO_", "OMP_", "GOMP_", "KMP_", "MKL_", "NPY_", "XLA_", "JAX_", "TORCH", "GOMAXPROCS", "GOGC", "GOMEMLIMIT", "GODEBUG")

# Means of one pass over the same images, from other first weights and in another order.
TOLERANCE = {"vae": 0.05, "deep": 0.05, "mixture": 0.05,
             "conv": 0.15}  # such a net looks at all images alike for a while, which chance makes long or short: three seeds of elbo come to 170, 174 and 189

# The passes of elbo that every peer's first pass is held against: peers take the same from work.py.
FIRST_PASS = {
    "vae": ["--binarise", "threshold", "--hidden", "400", "--latent", "20", "--activation", "relu", "--batch", "128"],
    "deep": ["--binarise", "dynamic", "--hidden", "200,200", "--latent", "50", "--activation", "tanh", "--batch", "20"],
    "conv": ["--binarise", "threshold", "--seed", "3", "--network", "conv", "--hidden", "256", "--latent", "20", "--activation", "relu", "--batch", "128"],
    "mixture": ["--model", "mixture", "--binarise", "threshold", "--components", "500", "--smoothing", "0.1", "--tolerance", "0"],
}


def peers_of(work):
    if work == "conv":  # XLA has no fast convolution within a loop on the CPU: 32 000 images in a scan took more than 150 s
        return {name: peer for name, peer in VAE_PEERS.items() if name != "jax-scan"}
    return MIXTURE_PEERS if work == "mixture" else VAE_PEERS


class Fault(Exception):
    """What the user is told; the exit code is 1."""


# ---------------------------------------------------------------- versions and machine

def pinned():
    """Package and version, as the requirements have them."""
    lines = (line.partition("#")[0].strip() for line in REQUIREMENTS.read_text().splitlines())
    return dict(line.split("==") for line in lines if line)


def check_versions():
    """The versions installed; a Fault if they are not the pinned ones."""
    found, wrong = {}, []
    for package, wanted in pinned().items():
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{package} is not installed, want {wanted}")
            continue
        if found[package].partition("+")[0] != wanted:  # torch's builds differ behind the +
            wrong.append(f"{package} is {found[package]}, want {wanted}")
    if wrong:
        raise Fault("\n".join(f"peers: {w}" for w in wrong) + f"""
install them into a virtual environment outside the repository, and run this with its Python:
  python3 -m venv ~/elbo-peers && ~/elbo-peers/bin/pip install -r {os.path.relpath(REQUIREMENTS)}
  make bench-peers PEERS_PYTHON=~/elbo-peers/bin/python""")
    return found


def not_in_sklearn():
    """Why scikit-learn is not in the tables, from its own list of estimators."""
    from sklearn.utils import all_estimators
    names = [name for name, _ in all_estimators()]
    mixtures = [n for n in names if "Mixture" in n]
    if any("Bernoulli" in n for n in mixtures) or any(re.search("Autoencoder|VAE", n) for n in names):
        raise Fault("peers: scikit-learn has a mixture of Bernoullis or a VAE by now: it is to be compared")
    return f"it has no VAE, and its mixtures ({', '.join(mixtures)}) are of Gaussians: not compared"


def machine():
    """The CPU, what it can do, and the system."""
    name, flags = platform.processor(), set()
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text()
        name = re.search(r"model name\s*: (.*)", cpuinfo)[1]
        flags = set(re.search(r"flags\s*: (.*)", cpuinfo)[1].split())
    except (OSError, TypeError):
        pass  # not Linux, or not x86
    vectors = [v for v in ("avx2", "avx512f") if v in flags]
    return {"cpu": name, "vectors": vectors, "cpus": len(cpus()), "system": f"{platform.system()} {platform.release()} {platform.machine()}"}


def cpus():
    """The CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def head_line(program):
    return " ".join(subprocess.run([program, "version"], capture_output=True, text=True, check=True).stdout.splitlines()[:2])


# ---------------------------------------------------------------- processes

def environment():
    kept = {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN)}
    return {**kept, "JAX_PLATFORMS": "cpu", "PYTHONDONTWRITEBYTECODE": "1"}


def run(command, threads):
    """The standard output of a process that may use so many CPUs."""
    chosen = cpus()[:threads]
    pin = None
    if threads < len(cpus()):
        pin = lambda: os.sched_setaffinity(0, chosen)
    child = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=pin)
    try:
        out, err = child.communicate()
    except BaseException:  # Ctrl-C above all: leave nothing running
        child.kill()
        child.wait()
        raise
    if child.returncode == -signal.SIGINT or child.returncode == 130:
        raise KeyboardInterrupt
    if child.returncode:
        raise Fault(f"peers: {' '.join(command)}: exit {child.returncode}\n{err[-2000:]}")
    return out


def bench(elbo, work, threads, seconds):
    report = json.loads(run([elbo, "bench", "--only", work, "--workers", str(threads), "--seconds", str(seconds), "--json"], threads))
    return {"rate": report["rows"][0]["figure"], "busy": report["busy"], "computes_with": report["blas"],
            "limit": report["limit_gflops_all_workers"]}


def peer(work, name, threads, seconds, images):
    script, *more = peers_of(work)[name]
    what = [] if work == "mixture" else [work]
    command = [sys.executable, str(HERE / script), *what, *more, "--images", str(images), "--threads", str(threads), "--seconds", str(seconds)]
    return json.loads(run(command, threads).splitlines()[-1])


def first_pass(elbo, work):
    """The mean loss of elbo's first pass (log p(x) of a mixture), and its number of parameters."""
    from work import CHECKED_IMAGES, CHECKED_ITERATIONS
    last = CHECKED_ITERATIONS if work == "mixture" else 1
    images = 60_000 if work == "mixture" else CHECKED_IMAGES
    with tempfile.TemporaryDirectory() as temp:
        out = Path(temp) / "run"
        command = [elbo, "train", *FIRST_PASS[work], "--split", f"{images},0", "--epochs", str(last + 1), "--out", str(out)]
        child = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            while True:  # what follows the last pass takes longer than all passes, and nobody needs it
                found = [m for m in passes_in(out / "metrics.jsonl") if m["epoch"] == last]
                if found and any(out.glob("checkpoint-*.safetensors")):
                    break
                if child.poll() is not None:
                    raise Fault(f"peers: {' '.join(command)}: exit {child.returncode}\n{child.stderr.read()[-2000:]}")
                time.sleep(0.02)
        finally:
            child.kill()
            child.wait()
        tensors = json.loads(run([elbo, "inspect", str(out), "--json"], len(cpus())))["tensors"]
    bound = found[0]["train"]["bound"]
    return {"checked": bound if work == "mixture" else -bound, "parameters": parameters(tensors)}


def passes_in(path):
    """The whole lines of a file of metrics that is being written."""
    try:
        lines = path.read_text().splitlines(keepends=True)
    except OSError:
        return []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def parameters(tensors):
    """How many numbers of a checkpoint are the model's own: neither Adam's nor those that follow from others."""
    own = re.compile(r"(encoder|decoder)\.|states\.logits$|prior\.log_weight$")
    return sum(math.prod(t["shape"]) for t in tensors if own.match(t["name"]))


def check(work, name, ours, theirs):
    """A Fault if the peer did not do elbo's work."""
    if theirs["parameters"] != ours["parameters"]:
        raise Fault(f"peers: {work}: {name} has {theirs['parameters']} parameters, elbo {ours['parameters']}: not the same model")
    if not abs(theirs["checked"] / ours["checked"] - 1) < TOLERANCE[work]:
        raise Fault(f"peers: {work}: the first pass of {name} comes to {theirs['checked']:.2f} nats per image, elbo's to {ours['checked']:.2f}, "
                    f"want them within {100 * TOLERANCE[work]:.0f} %: not the same work")
    gained = theirs["after"] - theirs["checked"] if work == "mixture" else theirs["checked"] - theirs["after"]
    if not gained > 0:
        raise Fault(f"peers: {work}: {name} does not train: {theirs['checked']:.2f} nats per image in the first pass, {theirs['after']:.2f} in the end")


# ---------------------------------------------------------------- measuring

def measure(a, record):
    """Add to the record, run by run: it holds what was measured whenever this ends."""
    for work in a.only:
        chosen = [p for p in peers_of(work) if a.peers is None or p in a.peers]
        if not chosen:
            continue
        ours = first_pass(a.elbo, work)
        record["checks"][work] = ours
        print(f"{work}: elbo's first pass: {ours['checked']:.2f} nats per image, {ours['parameters']} parameters", flush=True)
        for n in range(a.rounds):
            for threads in a.threads:
                before = bench(a.elbo, work, threads, a.seconds)
                for name in chosen:
                    theirs = peer(work, name, threads, a.seconds, a.images)
                    check(work, name, ours, theirs)
                    after = bench(a.elbo, work, threads, a.seconds)
                    pair = {"work": work, "threads": threads, "peer": name, "before": before, "theirs": theirs, "after": after}
                    record["pairs"].append(pair)
                    print(f"  round {n + 1}, threads {threads}: elbo {figure(before['rate'])}, {name} {figure(theirs['rate'])}, elbo {figure(after['rate'])} "
                          f"({ratio(pair):.2f}); its loss {theirs['checked']:.2f}, later {theirs['after']:.2f}", flush=True)
                    before = after


def ratio(pair):
    return (pair["before"]["rate"] + pair["after"]["rate"]) / 2 / pair["theirs"]["rate"]


def figure(rate):
    return f"{rate:.0f}" if rate >= 100 else f"{rate:.3g}"


# ---------------------------------------------------------------- the table

def print_table(records):
    pairs = [pair for record in records for pair in record["pairs"]]
    for work, (what, unit) in WORKS.items():
        some = [p for p in pairs if p["work"] == work]
        if some:
            print_work(what, unit, some)


def print_work(what, unit, pairs):
    threads = sorted({p["threads"] for p in pairs})
    best = {t: max(max(p["before"]["rate"], p["after"]["rate"]) for p in pairs if p["threads"] == t) for t in threads}
    ours, at = max((rate, t) for t, rate in best.items())
    print(f"\n{what} ({unit})")
    print("elbo, best: " + ", ".join(f"{figure(best[t])} with threads {t}" for t in threads) + f"; {pairs[0]['before']['computes_with']}")
    lines = [["peer", "best", "threads", "elbo / peer: best", *(f"paired, threads {t}" for t in threads)]]
    rows = []
    for name in dict.fromkeys(p["peer"] for p in pairs):
        of = [p for p in pairs if p["peer"] == name]
        top = max(of, key=lambda p: p["theirs"]["rate"])
        rows.append((top["theirs"]["rate"], name, top["threads"], of))
    for rate, name, where, of in sorted(rows, key=lambda r: -r[0]):
        line = [name, figure(rate), str(where), f"{ours / rate:.2f}"]
        for t in threads:
            ratios = [ratio(p) for p in of if p["threads"] == t]
            line.append(f"{statistics.median(ratios):.2f} (of {len(ratios)}: {min(ratios):.2f} to {max(ratios):.2f})" if ratios else "-")
        lines.append(line)
    widths = [max(map(len, column)) for column in zip(*lines)]
    for line in lines:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())
    libraries = sorted({p["theirs"]["computes_with"] for p in pairs})
    print("  " + "; ".join(libraries))
    runs = [run for p in pairs for run in (p["before"], p["after"])]
    if busy := sum(run["busy"] for run in runs):
        print(f"  other work shared the cores in {busy} of {len(runs)} readings of elbo: trust the medians of many rounds, or measure again")


def same(records):
    """A Fault unless all records are of the same machine and programs."""
    for key in ("machine", "versions", "elbo"):
        if any(r[key] != records[0][key] for r in records):
            raise Fault(f"peers: the files differ in {key}: " + "; ".join(json.dumps(r[key]) for r in records))


# ---------------------------------------------------------------- the command

def options():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = sorted({*VAE_PEERS, *MIXTURE_PEERS})
    p.add_argument("--elbo", default="./elbo", help="the program")
    p.add_argument("--only", choices=WORKS, nargs="+", default=list(WORKS), help="these works")
    p.add_argument("--peers", choices=names, nargs="+", metavar="PEER", help=f"these peers, of {', '.join(names)}")
    p.add_argument("--threads", type=int, nargs="+", help="numbers of threads, of elbo's workers too (default: 1, 2 and one for each CPU)")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--seconds", type=float, default=3, help="of measuring, for each run")
    p.add_argument("--images", type=Path, default=IMAGES, help="MNIST's train-images-idx3-ubyte.gz")
    p.add_argument("--quick", action="store_true", help="one round, one setting of each library, short runs: to try this out")
    p.add_argument("--json", metavar="FILE", help="write every run to this file")
    p.add_argument("--table", metavar="FILE", nargs="+", help="print the table of files of --json, and measure nothing")
    a = p.parse_args()
    count = len(cpus())
    if a.threads is None:
        a.threads = [count] if a.quick else sorted({1, min(2, count), count})
    if a.quick:
        a.rounds, a.seconds, a.peers = 1, 0.5, a.peers or QUICK
    faults = []
    if any(t < 1 or t > count for t in a.threads):
        faults.append(f"threads are {a.threads}, want 1 to {count}, the CPUs of this machine")
    if any(t != count for t in a.threads) and not hasattr(os, "sched_setaffinity"):
        faults.append(f"this system does not keep a process to some of its CPUs: want --threads {count}")
    if a.rounds < 1 or not a.seconds > 0:
        faults.append(f"rounds are {a.rounds} and seconds {a.seconds}, want positive numbers")
    if not a.table and not os.access(a.elbo, os.X_OK):
        faults.append(f"there is no program {a.elbo}: make build")
    if not a.table and not a.images.exists():
        faults.append(f"there are no images {a.images}")
    if faults:
        p.error("; ".join(faults))
    a.elbo = os.path.abspath(a.elbo)
    return a


def main():
    a = options()
    if a.table:
        records = [json.loads(Path(f).read_text()) for f in a.table]
        same(records)
        print_head(records[0])
        print_table(records)
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    record = {"machine": machine(), "versions": check_versions(), "elbo": head_line(a.elbo), "checks": {}, "pairs": []}
    print_head(record)
    print(f"scikit-learn: {not_in_sklearn()}", flush=True)
    try:
        measure(a, record)
        code = 0
    except KeyboardInterrupt:
        print("\ninterrupted: what was measured so far", file=sys.stderr)
        code = 130
    finally:
        if a.json:
            Path(a.json).write_text(json.dumps(record, indent=1) + "\n")
        print_table([record])
    return code


def print_head(record):
    m = record["machine"]
    print(f"{m['cpu']}, CPUs: {m['cpus']}, {' '.join(m['vectors'])}; {m['system']}")
    print(record["elbo"])
    print(f"Python {platform.python_version()}; " + ", ".join(f"{k} {v}" for k, v in record["versions"].items()), flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Fault as fault:
        sys.exit(str(fault))
