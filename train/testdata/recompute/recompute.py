#!/usr/bin/python3
"""Recompute the bounds of a checkpoint with numpy alone, in float64, with draws of its own.

    elbo data export --run RUN --split test --limit 500 --out test.npy
    python3 recompute.py RUN/best.safetensors test.npy [--k 100] [--replicates 40]

prints, in nats per image, what `elbo eval RUN --limit 500 --samples 100 --json` prints,
each with its standard error from the draws: both look at the same images, so that draws
are all that they may differ by.

    elbo    E_q[log p(x|z)] - KL(q(z|x) || N(0, I)), mean over k draws, divergence in closed form
    iw      L_k = log (1/k) sum_k p(x|z) p(z) / q(z|x)
    log_p   of the first images, by the midpoint rule over z, for two latent dimensions or fewer

The model is read from the names and shapes of its tensors: dense layers, weights [out, in],
ReLU between them; the encoder's last gives [mu | log variance], the decoder's logits of
Bernoulli pixels. The file is read as the safetensors format says: 8 bytes with the length
of a JSON header, the header, the tensors. Nothing of elbo is used.

`make reference-recompute` writes reference.json anew from checkpoint.safetensors beside
this script; a Go test compares.
"""
import argparse
import hashlib
import json
import math
import platform
import struct

import numpy as np

SEED = 20_260
EXACT = 40  # images whose log p(x) is integrated: the first ones


def read_safetensors(path):
    with open(path, "rb") as f:
        (length,) = struct.unpack("<Q", f.read(8))
        header, data = json.loads(f.read(length)), f.read()
    tensors = {}
    for name, t in header.items():
        if name != "__metadata__":
            assert t["dtype"] == "F32", f"{name}: {t['dtype']}"
            begin, end = t["data_offsets"]
            tensors[name] = np.frombuffer(data[begin:end], "<f4").astype(np.float64).reshape(t["shape"])
    return tensors


class MLP:
    def __init__(self, tensors, name):
        numbers = sorted(int(n.split(".")[1]) for n in tensors if n.startswith(name + ".") and n.endswith(".weight"))
        self.layers = [(tensors[f"{name}.{i}.weight"], tensors[f"{name}.{i}.bias"]) for i in numbers]

    def __call__(self, x):
        for i, (weight, bias) in enumerate(self.layers):
            x = x @ weight.T + bias
            if i < len(self.layers) - 1:
                x = np.maximum(x, 0)
        return x


def log_bernoulli(x, logits):
    """log p(x|z), summed over pixels: x [D], logits [S, D]."""
    return logits @ x - np.logaddexp(0, logits).sum(axis=1)


def log_sum_exp(v):
    top = v.max()
    return top + math.log(np.exp(v - top).sum())


def bounds(x, encoder, decoder, k, rng):
    """One replicate: ELBO and L_k of each image, from k draws."""
    elbo, iw = np.empty(len(x)), np.empty(len(x))
    for i, h in enumerate(encoder(x)):
        mu, log_var = np.split(h, 2)
        eps = rng.standard_normal((k, len(mu)))
        z = mu + np.exp(log_var / 2) * eps
        log_lik = log_bernoulli(x[i], decoder(z))
        log_prior = -(z * z).sum(axis=1) / 2 - len(mu) / 2 * math.log(2 * math.pi)
        log_q = -(eps * eps).sum(axis=1) / 2 - log_var.sum() / 2 - len(mu) / 2 * math.log(2 * math.pi)
        elbo[i] = log_lik.mean() - (mu * mu + np.exp(log_var) - log_var - 1).sum() / 2
        iw[i] = log_sum_exp(log_lik + log_prior - log_q) - math.log(k)
    return elbo.mean(), iw.mean()


def evidence(x, decoder, latent, spacing):
    """log p(x) of each image by the midpoint rule with this spacing on [-6, 6]."""
    line = np.arange(-6 + spacing / 2, 6, spacing)
    z = np.stack(np.meshgrid(*[line] * latent, indexing="ij"), axis=-1).reshape(-1, latent)
    weight = latent * (math.log(spacing) - math.log(2 * math.pi) / 2) - (z * z).sum(axis=1) / 2
    top, total = np.full(len(x), -np.inf), np.zeros(len(x))
    for first in range(0, len(z), 5000):
        logits = decoder(z[first:first + 5000])
        joint = x @ logits.T - np.logaddexp(0, logits).sum(axis=1) + weight[first:first + 5000]
        higher = np.maximum(top, joint.max(axis=1))
        total = total * np.exp(top - higher) + np.exp(joint - higher[:, None]).sum(axis=1)
        top = higher
    return top + np.log(total)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("checkpoint")
    p.add_argument("pixels")
    p.add_argument("--k", type=int, default=100)
    p.add_argument("--replicates", type=int, default=40)
    p.add_argument("--out", help="write reference.json here")
    a = p.parse_args()
    tensors = read_safetensors(a.checkpoint)
    raw = np.load(a.pixels)
    assert raw.dtype == np.uint8 and raw.max() <= 1, "want pixels that are 0 or 1"
    x = raw.astype(np.float64)
    encoder, decoder = MLP(tensors, "encoder"), MLP(tensors, "decoder")
    latent = decoder.layers[0][0].shape[1]

    rng = np.random.default_rng(SEED)
    runs = np.array([bounds(x, encoder, decoder, a.k, rng) for _ in range(a.replicates)])
    mean, spread = runs.mean(axis=0), runs.std(axis=0, ddof=1)
    result = {
        "recipe": "train/testdata/recompute/recompute.py", "python": platform.python_version(), "numpy": np.__version__, "seed": SEED,
        "images": len(x), "k": a.k, "replicates": a.replicates,
        "checkpoint_sha256": hashlib.sha256(open(a.checkpoint, "rb").read()).hexdigest(),
        "pixels_sha256": hashlib.sha256(raw.tobytes()).hexdigest(),
    }
    for name, m, s in zip(("elbo", "iw"), mean, spread):
        result[name] = {"value": m, "se": s / math.sqrt(a.replicates), "replicate_sd": s}
    if latent <= 2:
        fine, coarse = (evidence(x[:EXACT], decoder, latent, h) for h in (0.015, 0.03))
        result["log_p"] = {"images": EXACT, "value": fine.mean(), "error": np.abs(fine - coarse).mean()}
    text = json.dumps(result, indent=2) + "\n"
    print(text, end="")
    if a.out:
        with open(a.out, "w", encoding="ascii") as f:
            f.write(text)


main()
