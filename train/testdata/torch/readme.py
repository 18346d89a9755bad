"""The lines for PyTorch of cmd/elbo/doc/runs.md, run as they stand there: python3 readme.py --elbo ./elbo

Trains small VAEs on MNIST, of other sizes, layers and activations, loads each by those lines and compares
E[x|z] at z = E[z|x] with `elbo reconstruct`. Ends with 1 where a pixel is off by more than 1e-5.
"""
import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy as np
import torch

arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
arguments.add_argument("--elbo", default="./elbo", help="the program (default: ./elbo)")
program = pathlib.Path(arguments.parse_args().elbo).resolve()
readme = pathlib.Path(__file__).resolve().parents[3] / "cmd/elbo/doc/runs.md"
lines, = re.findall(r"```python\n(.*?)```", readme.read_text(), re.S)
worst = 0.0
with tempfile.TemporaryDirectory() as directory:
    os.chdir(directory)
    for layers, hidden in (("relu", "40"), ("tanh", "30,20"), ("elu", "none"), ("softplus", "9,8,7"), ("gated", "30,20"), ("conv", "30"), ("residual", "none")):
        def elbo(*args):
            subprocess.run([program, *args], check=True, capture_output=True)

        chosen = ("--network", layers) if layers in ("gated", "conv", "residual") else ("--activation", layers)
        if layers in ("conv", "residual"):  # small and odd maps: 28, 10, 4
            chosen += ("--conv-channels", "4,6", "--stride", "3", "--kernel", "5")
        elbo("train", *chosen, "--hidden", hidden, "--latent", "6", "--limit", "1000", "--epochs", "2", "--out", layers)
        elbo("data", "export", "--run", layers, "--split", "test", "--limit", "100", "--out", "x.npy")
        elbo("reconstruct", layers, "--n", "100", "--out", "means.npy")
        os.chdir(layers)
        loaded = {}
        exec(lines, loaded)
        os.chdir(directory)
        x = torch.tensor(np.load("x.npy").reshape(100, -1).astype(np.float32))
        with torch.no_grad():
            images = x.view(100, 1, 28, 28) if layers in ("conv", "residual") else x
            mu = loaded["encoder"](images).chunk(2, dim=1)[0]
            mean = torch.sigmoid(loaded["decoder"](mu)).numpy().reshape(100, -1)
        off = float(np.abs(mean - np.load("means.npy")).max())
        print(f"{layers:10}{hidden:8}{off:10.1e}")
        worst = max(worst, off)
print(f"torch {torch.__version__}: largest difference {worst:.1e}, allowed: 1e-05")
sys.exit(worst > 1e-5)
