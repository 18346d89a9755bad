"""EM for a mixture of 500 Bernoulli images on thresholded MNIST, in numpy.

    python3 numpy_bmm.py --images train-images-idx3-ubyte.gz --seconds 5

Prints iterations/s, of the shortest iteration after the first. Float32 throughout but
for the totals, 5000 images at a time: the two products of an iteration are all that
takes long.
"""
import argparse
import gzip
import time

import numpy as np

COMPONENTS, CHUNK, SMOOTHING = 500, 5000, np.float32(0.1)


def posterior(joint):
    """The table q[n,k] and the evidence of each image, from log p(x, z)."""
    top = joint.max(axis=1, keepdims=True)
    q = np.exp(joint - top)
    total = q.sum(axis=1, keepdims=True)
    q /= total
    return q, (top + np.log(total))[:, 0]


def iteration(x, mean, log_prior):
    logits = np.log(mean) - np.log1p(-mean)
    base = np.log1p(-mean).sum(axis=1) + log_prior
    counts, sums, evidence = np.zeros(COMPONENTS), np.zeros_like(mean), 0.0
    for first in range(0, len(x), CHUNK):
        chunk = x[first:first + CHUNK]
        q, e = posterior(chunk @ logits.T + base)
        evidence += e.sum(dtype=np.float64)
        counts += q.sum(axis=0)
        sums += q.T @ chunk
    n = counts.astype(np.float32)
    mean = (sums + SMOOTHING) / (n[:, None] + 2 * SMOOTHING)
    return mean, np.log((n + np.float32(1e-10)) / len(x)), evidence / len(x)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--images", required=True)
    p.add_argument("--seconds", type=float, default=5)
    a = p.parse_args()
    raw = np.frombuffer(gzip.open(a.images).read(), np.uint8)[16:].reshape(-1, 784)
    x = (raw > 127).astype(np.float32)
    rng = np.random.default_rng(1)
    mean = x[rng.choice(len(x), COMPONENTS, replace=False)] / 2 + np.float32(0.25)
    log_prior = np.full(COMPONENTS, -np.log(COMPONENTS), np.float32)
    best, total, done, before = np.inf, 0.0, 0, -np.inf
    while total < a.seconds or done < 3:
        began = time.perf_counter()
        mean, log_prior, evidence = iteration(x, mean, log_prior)
        took = time.perf_counter() - began
        assert evidence > before, "EM lowered the evidence"
        before = evidence
        if done > 0:
            best, total = min(best, took), total + took
        done += 1
    print(1 / best)


main()
