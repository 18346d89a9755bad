"""Models of elbo in onnxruntime: python3 check.py --elbo ./elbo

For each likelihood and activation, and for gated layers and convolutions, a small VAE is trained on MNIST, exported, checked by the onnx
package and run by onnxruntime, for 1 and for 200 test images. What comes out is held against elbo:
every pixel of E[x|z] at z = E[z|x] (elbo reconstruct), and KL of each latent dimension, which mean
and log variance decide (elbo eval). A grid's decoder is held against the grid's means.
Ends with 1 if anything is off by more than 1e-5.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime

IMAGES, MOST = 200, 1e-5


def session(path):
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]), {p.key: p.value for p in model.metadata_props}


def names(values):
    return [(v.name, v.shape) for v in values]


def off(got, want):
    return float(np.max(np.abs(got - want) / np.maximum(1, np.abs(want))))


def check_vae(elbo, run):
    elbo("export", run, "--to", "onnx")
    encoder, metadata = session(f"{run}/encoder.onnx")
    decoder, _ = session(f"{run}/decoder.onnx")
    elbo("data", "export", "--run", run, "--split", "test", "--limit", str(IMAGES), "--out", f"{run}/x.npy")
    elbo("reconstruct", run, "--n", str(IMAGES), "--out", f"{run}/means.npy")
    x = np.load(f"{run}/x.npy").reshape(IMAGES, -1)
    x = (x / np.float32(255) if metadata["elbo.binarise"] == "none" else x).astype(np.float32)  # grey levels are bytes there
    mu, logvar = encoder.run(["mu", "logvar"], {"x": x})
    mean = decoder.run(["mean"], {"z": mu})[0]
    one = decoder.run(["mean"], {"z": encoder.run(["mu"], {"x": x[:1]})[0]})[0]
    of_mean = max(off(mean, np.load(f"{run}/means.npy")), off(one, mean[:1]))
    kl = (mu.astype(float) ** 2 + np.exp(logvar.astype(float)) - logvar - 1).mean(axis=0) / 2
    of_kl = off(kl, np.array(json.loads(elbo("eval", run, "--limit", str(IMAGES), "--samples", "1", "--json"))["kl_per_dim"]))
    return metadata, of_mean, of_kl, names(encoder.get_inputs() + encoder.get_outputs()) + names(decoder.get_inputs() + decoder.get_outputs())


def check_grid(elbo, run):
    elbo("export", run, "--to", "onnx")
    decoder, metadata = session(f"{run}/decoder.onnx")
    elbo("sample", run, "--n", "50", "--out", f"{run}/draws.npy")
    draws = np.load(f"{run}/draws.npy")  # means of some points of the grid
    axis = np.array([-3, -1.5, 0, 1.5, 3], np.float32)
    z = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    means = decoder.run(["mean"], {"z": z})[0]
    nearest = means[np.abs(draws[:, None] - means[None]).sum(-1).argmin(1)]
    return metadata, off(draws, nearest)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--elbo", default="./elbo", help="the program (default: ./elbo)")
    program = pathlib.Path(arguments.parse_args().elbo).resolve()
    worst = 0.0
    with tempfile.TemporaryDirectory() as directory:
        def elbo(*args):
            done = subprocess.run([program, *args], cwd=directory, capture_output=True, text=True)
            if done.returncode != 0:
                sys.exit(f"elbo {' '.join(args)}: {done.stderr}")
            return done.stdout

        os.chdir(directory)
        print(f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}: largest difference to elbo, relative above 1")
        print(f"{'likelihood':22}{'activation':12}{'hidden':10}{'E[x|z]':>10}{'KL':>10}")
        for likelihood in ("bernoulli", "continuous-bernoulli", "gaussian", "grey-bernoulli", "discretized-logistic"):
            for activation, hidden in (("relu", "64,32"), ("tanh", "64"), ("elu", "64,32,16"), ("softplus", "64"), ("gated", "64,32"), ("conv", "32"), ("residual", "none")):
                run = f"{likelihood}-{activation}"
                chosen = ("--network", activation) if activation in ("gated", "conv", "residual") else ("--activation", activation)
                if activation == "conv":  # an odd map, and one that the strides leave something of
                    chosen += ("--conv-channels", "4,6", "--stride", "3", "--kernel", "5", "--activation", "elu")
                if activation == "residual":
                    chosen += ("--conv-channels", "4,6,8", "--activation", "tanh")
                elbo("train", "--likelihood", likelihood, *chosen, "--hidden", hidden, "--latent", "5",
                     "--binarise", "static" if likelihood == "bernoulli" else "none", "--limit", "2000", "--epochs", "3", "--out", run)
                metadata, of_mean, of_kl, values = check_vae(elbo, run)
                between = {"conv": "elu", "residual": "tanh"}.get(activation, activation)
                assert (metadata["elbo.likelihood"], metadata["elbo.activation"]) == (likelihood, between), metadata
                print(f"{likelihood:22}{activation:12}{hidden:10}{of_mean:10.1e}{of_kl:10.1e}")
                worst = max(worst, of_mean, of_kl)
        elbo("train", "--model", "grid", "--grid", "5x5", "--grid-rule", "lattice", "--hidden", "32", "--limit", "2000", "--epochs", "3", "--out", "grid")
        metadata, of_mean = check_grid(elbo, "grid")
        print(f"{'a grid, bernoulli':22}{metadata['elbo.activation']:12}{'32':10}{of_mean:10.1e}")
        worst = max(worst, of_mean)
    print("values:", ", ".join(f"{name} {shape}" for name, shape in values))
    print(f"largest: {worst:.1e}, allowed: {MOST:g}")
    sys.exit(worst > MOST)


if __name__ == "__main__":
    main()
