"""What all peers share: the works of `elbo bench`, the images, and how time is taken."""
import argparse
import gzip
import json
import time
from dataclasses import dataclass

import numpy as np

SIDE = 28
PIXELS = SIDE * SIDE
WINDOWS = 8  # as in `elbo bench`
CHECKED_IMAGES = 32_000  # of the pass that shows that a peer does the same work: 250 or 1600 batches
CHECKED_ITERATIONS = 4  # of EM, for the same


@dataclass(frozen=True)
class VAE:
    """A VAE under a Bernoulli likelihood, dense or with convolutions of 3 x 3, stride 2, between images and dense layers; the decoder has the layers in reverse."""
    hidden: tuple
    latent: int
    activation: str
    batch: int
    binarise: str  # threshold: p > 1/2, once; dynamic: afresh for every step
    rate: float = 1e-3  # of Adam
    maps: tuple = ()  # channels of the feature maps, each half as wide as the one before

    def side(self):
        """Of the last feature map."""
        return SIDE >> len(self.maps)

    def flat(self):
        """How many numbers the dense layers begin with: pixels, or those of the last map."""
        return self.side() ** 2 * self.maps[-1] if self.maps else PIXELS

    def encoder(self):
        """The sizes of the dense layers: to mu and log sigma^2."""
        return [self.flat(), *self.hidden, 2 * self.latent]

    def decoder(self):
        """The sizes of the dense layers: from z to logits, or to the last map."""
        return [self.latent, *reversed(self.hidden), self.flat()]

    def channels(self):
        """Of the image and the maps."""
        return [1, *self.maps]


def bound(summands, last):
    """Of the uniform first weights of a net with convolutions, as elbo draws them: of He et al. 2015 before a ReLU, smaller before nothing."""
    return ((1 if last else 6) / summands) ** 0.5


VAES = {
    "vae": VAE(hidden=(400,), latent=20, activation="relu", batch=128, binarise="threshold"),
    "conv": VAE(hidden=(256,), latent=20, activation="relu", batch=128, binarise="threshold", maps=(32, 64)),
    "deep": VAE(hidden=(200, 200), latent=50, activation="tanh", batch=20, binarise="dynamic"),
}

COMPONENTS = 500
SMOOTHING = 0.1  # a of the Beta(1+a, 1+a) prior of each pixel's probability


def arguments(doc, works=()):
    """A parser of what the driver gives to every peer."""
    p = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    if works:
        p.add_argument("work", choices=works)
    p.add_argument("--images", required=True, help="train-images-idx3-ubyte.gz")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--seconds", type=float, default=3, help="of measuring")
    return p


def grey(path):
    """The images as bytes, [N, 784]."""
    with gzip.open(path) as f:
        return np.frombuffer(f.read(), np.uint8)[16:].reshape(-1, PIXELS)


def first_means():
    """Rows of first components, and a function that makes means of their images: the image halfway to 1/2."""
    return np.random.default_rng(1).choice(60_000, COMPONENTS, replace=False), lambda x: x / 2 + np.float32(0.25)


def train(seconds, passes, advance, finish):
    """Train and take the time; returns images/s and two mean losses, both in nats per image.

    passes(n) yields the batches of one pass over the first n images, in a new order, without
    a last one that is not full. advance(batches) makes one step or several and returns the
    images they held, or 0 when the pass is over; finish() waits until they are done and
    returns the mean loss since it was last called.

    The first pass, over CHECKED_IMAGES, is not timed: compilers compile in it, and its loss is
    what the driver compares with elbo's. Then the best of WINDOWS windows counts, each of
    which is so many seconds of the loop as it stands, over all images.
    """
    batches = passes(CHECKED_IMAGES)
    while advance(batches):
        pass
    checked = finish()
    best, batches = 0.0, passes(60_000)
    for _ in range(WINDOWS):
        began, images = time.perf_counter(), 0
        while time.perf_counter() - began < seconds / WINDOWS:
            done = advance(batches)
            if not done:
                batches = passes(60_000)
            images += done
        after = finish()
        best = max(best, images / (time.perf_counter() - began))
    return best, checked, after


def fit(seconds, iterate):
    """Iterate EM and take the time; returns iterations/s and two means of log p(x), nats per image.

    iterate() makes one iteration and returns the mean of log p(x) at the parameters from which
    it set out. EM never lowers it (but for the prior of the pixels, which is small): a fall of
    more than 1e-3 nats is an error. The shortest iteration counts, after CHECKED_ITERATIONS.
    """
    evidence = [iterate() for _ in range(CHECKED_ITERATIONS + 1)]
    shortest, total, done = float("inf"), 0.0, 0
    while total < seconds or done < 2:
        began = time.perf_counter()
        evidence.append(iterate())
        took = time.perf_counter() - began
        shortest, total, done = min(shortest, took), total + took, done + 1
    for before, after in zip(evidence, evidence[1:]):
        if after < before - 1e-3:
            raise SystemExit(f"EM lowered log p(x) from {before} to {after} nats per image")
    return 1 / shortest, evidence[CHECKED_ITERATIONS], evidence[-1]


def report(figures, parameters, computes_with=""):
    """The last line of a peer's standard output."""
    rate, checked, after = figures
    print(json.dumps({"rate": rate, "checked": float(checked), "after": float(after),
                      "parameters": int(parameters), "computes_with": computes_with}))
