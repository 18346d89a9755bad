#!/usr/bin/python3
"""elbo next to PyTorch and numpy, on this machine, in alternating runs.

    python3 train/testdata/peers/peers.py --elbo ./elbo [--rounds 2] [--seconds 3]

Each round runs `elbo bench --only ROW` and every setting of the peer once, one after the
other. Of each the best round counts, and of the peer the best setting: threads 1 or 2
(or as many as there are CPUs), OpenBLAS with pthreads or OpenMP, its own choice of
kernel or AVX-512 forced. The ratio is what travels to other machines; a machine that
does other work at the same time gives no ratio worth having.
"""
import argparse
import glob
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
IMAGES = HERE.parents[2] / "data" / "mnist" / "train-images-idx3-ubyte.gz"
PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
NEEDED = {"torch": "python3-torch", "numpy": "python3-numpy"}

ROWS = {
    "vae": ("torch_vae.py", ["vae"], "images/s"),
    "deep": ("torch_vae.py", ["deep"], "images/s"),
    "mixture": ("numpy_bmm.py", [], "iterations/s"),
}


def missing():
    """What apt is to install, for all peers at their best."""
    packages = [package for module, package in NEEDED.items()
                if subprocess.run([PYTHON, "-c", f"import {module}"], capture_output=True).returncode]
    if not openmp():
        packages.append("libopenblas0-openmp")
    return packages


def openmp():
    """The directory of OpenBLAS built for OpenMP, or None."""
    found = glob.glob("/usr/lib/*/openblas-openmp/libblas.so.3")
    return os.path.dirname(found[0]) if found else None


def avx512():
    try:
        return "avx512vl" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


def settings(script):
    """Every setting of a peer: its name, its environment, its threads."""
    threads = sorted({1, 2, os.cpu_count() or 1})
    builds = {"as installed": {}}
    if openmp():
        builds["OpenMP"] = {"LD_LIBRARY_PATH": openmp()}
    kernels = {"own kernel": {}}
    if avx512():
        kernels["AVX-512 forced"] = {"OPENBLAS_CORETYPE": "SkylakeX"}
    for build, library in builds.items():
        for kernel, core in kernels.items():
            for n in threads:
                env = {**library, **core, "OMP_NUM_THREADS": str(n), "OPENBLAS_NUM_THREADS": str(n)}
                yield f"{build}, {kernel}, {n} thread{'s' if n > 1 else ''}", env, n


def clean():
    """The environment without what somebody has set for OpenBLAS."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("OPENBLAS_", "OMP_"))}


def run(command, env):
    done = subprocess.run(command, env={**clean(), **env}, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit {done.returncode}\n{done.stderr}")
    return done.stdout


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--elbo", default="./elbo", help="the program")
    p.add_argument("--rounds", type=int, default=2)
    p.add_argument("--seconds", type=float, default=3, help="of measuring, for each run")
    p.add_argument("--only", choices=ROWS, nargs="*", default=list(ROWS))
    a = p.parse_args()
    if packages := missing():
        print(f"not all is installed: apt-get install -y --no-install-recommends {' '.join(packages)}", file=sys.stderr)
        if "python3-numpy" in packages:
            sys.exit(1)
    for row in a.only:
        script, arguments, unit = ROWS[row]
        if script == "torch_vae.py" and "python3-torch" in missing():
            print(f"{row}: left out, there is no torch", file=sys.stderr)
            continue
        ours, fraction, theirs = 0.0, 0.0, {}
        for _ in range(a.rounds):
            for setting, env, threads in settings(script):
                # elbo before each of them: both see the machine as it is just now.
                bench = json.loads(run([a.elbo, "bench", "--only", row, "--seconds", str(a.seconds), "--json"], {}))["rows"][0]
                ours, fraction = max(ours, bench["figure"]), max(fraction, bench.get("fraction", 0))
                command = [PYTHON, str(HERE / script), *arguments, "--images", str(IMAGES), "--seconds", str(a.seconds)]
                if script == "torch_vae.py":
                    command += ["--threads", str(threads)]
                theirs[setting] = max(theirs.get(setting, 0), float(run(command, env)))
        peer = script.partition("_")[0]
        print(f"{row}: elbo {ours:.4g} {unit}, {f'{100 * fraction:.0f} % of the roofline' if fraction else 'with the pure Go product'}")
        for setting, rate in sorted(theirs.items(), key=lambda item: -item[1]):
            print(f"  {ours / rate:5.2f} times {peer} ({setting}): {rate:.4g}", flush=True)


if __name__ == "__main__":
    print(f"{platform.machine()}, {os.cpu_count()} CPUs", flush=True)
    main()
