#!/usr/bin/python3
"""Recompute the bounds of a checkpoint with numpy alone, with draws of its own.

    elbo data export --run RUN --split test --limit 500 --out test.npy
    python3 recompute.py RUN/best.safetensors test.npy [--k 100] [--replicates 40]
    python3 recompute.py RUN/best.safetensors test.npy --k 5000 --replicates 1 --single

prints, in nats per image, what `elbo eval RUN --limit 500 --samples 100 --json` prints,
each with its standard error from the draws: both look at the same images, so that draws
are all that they may differ by.

    elbo    E_q[log p(x|z)] - KL(q(z|x) || p(z)), mean over k draws, divergence in closed form
            where p(z) = N(0, I), else the mean over the draws
    iw      L_k = log (1/k) sum_k p(x|z) p(z) / q(z|x)
    log_p   of the first images, by the midpoint rule over z, for two latent dimensions or fewer

The model is read from the names and shapes of its tensors, and its activation and its
stochastic layers from the configuration beside them: dense layers with weights [out, in], or
gated ones, whose weights are [2 out, in]; the encoder's last gives [mu | log variance], the
decoder's logits of Bernoulli pixels. With several stochastic layers z = [z1 | z2 | ...]. p(z)
is N(0, I), a mixture of Gaussians, or one of the posteriors of images. The file is read as
the safetensors format says: 8 bytes with the length of a JSON header, the header, the tensors.
Nothing of elbo is used.

--single computes products and exponentials in float32, sums over pixels and draws in
float64: six digits of a bound, in a fraction of the time.

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


CHUNK = 1000  # draws at once
HALF_LOG_2PI = math.log(2 * math.pi) / 2


def read_safetensors(path, dtype):
    """Tensors, and the configuration that the program keeps beside them."""
    with open(path, "rb") as f:
        (length,) = struct.unpack("<Q", f.read(8))
        header, data = json.loads(f.read(length)), f.read()
    tensors = {}
    for name, t in header.items():
        if name != "__metadata__" and not name.startswith("adam."):
            assert t["dtype"] == "F32", f"{name}: {t['dtype']}"
            begin, end = t["data_offsets"]
            tensors[name] = np.frombuffer(data[begin:end], "<f4").astype(dtype).reshape(t["shape"])
    return tensors, json.loads(header.get("__metadata__", {}).get("elbo.config", "{}"))


ACTIVATIONS = {
    "relu": lambda a: np.maximum(a, 0),
    "tanh": np.tanh,
    "elu": lambda a: np.where(a > 0, a, np.expm1(np.minimum(a, 0))),
    "softplus": lambda a: np.logaddexp(0, a),
}


class Network:
    """Dense or gated layers, whose tensors are called <name>.<number>.weight and .bias."""

    def __init__(self, tensors, name, activation):
        prefix = name + "."
        names = [n[len(prefix):] for n in tensors if n.startswith(prefix) and n.endswith(".weight")]
        numbers = sorted(int(n.split(".")[0]) for n in names if n.split(".")[0].isdigit() and n.count(".") == 1)
        self.layers = [(tensors[f"{name}.{i}.weight"], tensors[f"{name}.{i}.bias"]) for i in numbers]
        self.activation = ACTIVATIONS[activation]

    def __call__(self, x):
        for i, (weight, bias) in enumerate(self.layers):
            x = x @ weight.T + bias
            if i == len(self.layers) - 1:
                return x
            width = self.layers[i + 1][0].shape[1]
            if x.shape[1] == 2 * width:  # (W x + b) sigma(V x + c), W above V
                x = x[:, :width] / (1 + np.exp(-x[:, width:]))
            else:
                x = self.activation(x)


def log_normal(z, mu, log_var):
    """log N(z; mu, diag exp log_var), summed over the last axis in float64."""
    r = (z - mu) * np.exp(-log_var / 2)
    return -(r * r + log_var).sum(axis=-1, dtype=np.float64) / 2 - z.shape[-1] * HALF_LOG_2PI


def log_sum_exp(v, axis=None):
    top = v.max(axis=axis, keepdims=True)
    total = top + np.log(np.exp(v - top).sum(axis=axis, keepdims=True))
    return total.item() if axis is None else np.squeeze(total, axis=axis)


class Mixture:
    """sum_k weight_k N(z; mu_k, diag exp log_var_k), h = [mu | log_var]."""

    def __init__(self, h, logits):
        self.mu, self.log_var = np.split(h.astype(np.float64), 2, axis=1)
        self.log_weight = logits - log_sum_exp(logits)

    def log_prob(self, z):
        precision = np.exp(-self.log_var)
        squares = (z * z) @ precision.T - 2 * z @ (self.mu * precision).T + (self.mu * self.mu * precision).sum(axis=1)
        return log_sum_exp(self.log_weight - (squares + self.log_var.sum(axis=1)) / 2, axis=1) - z.shape[1] * HALF_LOG_2PI


class Model:
    """p(x, z) and q(z|x) of a checkpoint."""

    def __init__(self, tensors, config):
        activation = config.get("activation", "relu")
        assert config.get("network", "dense") in ("dense", "gated"), "want dense or gated layers"
        assert config.get("posterior", "diagonal") == "diagonal", "want the posterior diagonal"
        assert config.get("likelihood", "bernoulli") == "bernoulli", "want Bernoulli pixels"
        assert config.get("prior", "normal") != "flow", "want no flow"
        self.encoder, self.decoder = Network(tensors, "encoder", activation), Network(tensors, "decoder", activation)
        self.lowest = self.decoder.layers[0][0].shape[1]  # of z next to the image
        self.up, self.down = [], []  # q(z2|z1), ... and p(z1|z2), ...
        while f"encoder.z{len(self.up) + 2}.0.weight" in tensors:
            level = len(self.up) + 1
            self.up.append(Network(tensors, f"encoder.z{level + 1}", activation))
            self.down.append(Network(tensors, f"decoder.z{level}", activation))
        self.prior = None  # N(0, I)
        if "prior.components" in tensors:
            self.prior = Mixture(tensors["prior.components"], tensors["prior.logits"].astype(np.float64))
        for name in ("prior.pseudo_inputs", "prior.exemplars", "prior.members"):
            if name in tensors:
                h = tensors[name] if name == "prior.members" else self.encoder(tensors[name])
                self.prior = Mixture(h, np.zeros(len(h)))

    def closed_kl(self, h):
        """KL(q || N(0, I)) of one image, None where it has no closed form here."""
        if self.up or self.prior:
            return None
        mu, log_var = np.split(h.astype(np.float64), 2)
        return (mu * mu + np.exp(log_var) - log_var - 1).sum() / 2

    def draw(self, h, n, rng):
        """n draws of z_1 with log p(z) - log q(z|x)."""
        latent = self.lowest
        mu, log_var = np.split(h, 2)
        eps = rng.standard_normal((n, latent)).astype(h.dtype)
        z = first = mu + np.exp(log_var / 2) * eps
        log_q = -(eps * eps).sum(axis=1, dtype=np.float64) / 2 - log_var.sum(dtype=np.float64) / 2 - latent * HALF_LOG_2PI
        log_p = 0
        for up, down in zip(self.up, self.down):
            mu, log_var = np.split(up(z), 2, axis=1)
            above = mu + np.exp(log_var / 2) * rng.standard_normal(mu.shape).astype(h.dtype)
            log_q = log_q + log_normal(above, mu, log_var)
            mu, log_var = np.split(down(above), 2, axis=1)
            log_p = log_p + log_normal(z, mu, log_var)
            z = above
        if self.prior:
            log_p = log_p + self.prior.log_prob(z.astype(np.float64))
        else:
            log_p = log_p - (z * z).sum(axis=1, dtype=np.float64) / 2 - z.shape[1] * HALF_LOG_2PI
        return first, log_p - log_q


def log_bernoulli(x, logits):
    """log p(x|z), summed over pixels: x [D], logits [S, D]."""
    if logits.dtype == np.float32:  # log(1 + exp l) without the float64 that logaddexp would take as long for
        over = np.exp(-np.abs(logits))
        np.log1p(over, out=over)
        over += np.maximum(logits, 0)
        return (logits @ x).astype(np.float64) - over.sum(axis=1, dtype=np.float64)
    return logits @ x - np.logaddexp(0, logits).sum(axis=1)


def bounds(x, model, k, rng):
    """One replicate: mean ELBO and mean L_k over the images, and, from the scatter of the k
    draws, the standard errors of both."""
    elbo, iw, var_elbo, var_iw = (np.empty(len(x)) for _ in range(4))
    for i, h in enumerate(model.encoder(x)):
        log_lik, ratio = np.empty(k), np.empty(k)
        for first in range(0, k, CHUNK):
            n = min(CHUNK, k - first)
            z, ratio[first:first + n] = model.draw(h, n, rng)
            log_lik[first:first + n] = log_bernoulli(x[i], model.decoder(z))
        kl = model.closed_kl(h)
        terms = log_lik - kl if kl is not None else log_lik + ratio
        elbo[i], var_elbo[i] = terms.mean(), terms.var(ddof=1) / k
        iw[i] = log_sum_exp(log_lik + ratio) - math.log(k)
        weight = np.exp(log_lik + ratio - iw[i])  # of mean 1
        var_iw[i] = weight.var(ddof=1) / k
    return elbo.mean(), iw.mean(), math.sqrt(var_elbo.sum()) / len(x), math.sqrt(var_iw.sum()) / len(x)


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
    p.add_argument("--replicates", type=int, default=40, help="with 1, standard errors are from the scatter of the k draws")
    p.add_argument("--single", action="store_true", help="float32 but for sums")
    p.add_argument("--out", help="write reference.json here")
    a = p.parse_args()
    dtype = np.float32 if a.single else np.float64
    model = Model(*read_safetensors(a.checkpoint, dtype))
    raw = np.load(a.pixels)
    raw = raw.reshape(len(raw), -1)
    assert raw.max() <= 1 and not (raw % 1).any(), "want pixels that are 0 or 1"
    x = raw.astype(dtype)

    rng = np.random.default_rng(SEED)
    runs = np.array([bounds(x, model, a.k, rng) for _ in range(a.replicates)])
    result = {
        "recipe": "train/testdata/recompute/recompute.py", "python": platform.python_version(), "numpy": np.__version__, "seed": SEED,
        "images": len(x), "k": a.k, "replicates": a.replicates,
        "checkpoint_sha256": hashlib.sha256(open(a.checkpoint, "rb").read()).hexdigest(),
        "pixels_sha256": hashlib.sha256(raw.tobytes()).hexdigest(),
    }
    for i, name in enumerate(("elbo", "iw")):
        value = runs[:, i].mean()
        if a.replicates > 1:
            spread = runs[:, i].std(ddof=1)
            result[name] = {"value": value, "se": spread / math.sqrt(a.replicates), "replicate_sd": spread}
        else:
            result[name] = {"value": value, "se": runs[0, 2 + i]}
    if model.lowest <= 2 and not model.up and not model.prior:
        fine, coarse = (evidence(x[:EXACT], model.decoder, model.lowest, h) for h in (0.015, 0.03))
        result["log_p"] = {"images": EXACT, "value": fine.mean(), "error": np.abs(fine - coarse).mean()}
    text = json.dumps(result, indent=2) + "\n"
    print(text, end="")
    if a.out:
        with open(a.out, "w", encoding="ascii") as f:
            f.write(text)


main()
