"""The two VAEs of `elbo bench`, trained by PyTorch on the CPU.

    python3 torch_vae.py vae|deep --images train-images-idx3-ubyte.gz --threads 2 --seconds 5

Prints images/s, the best of eight windows of steps after one that warms up: what
`elbo bench` prints, measured in the same way. The model is Kingma and Welling's, with
the loss of the common tutorials: BCE with logits, summed over pixels, plus the closed
form of the divergence.
"""
import argparse
import gzip
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

MODELS = {
    "vae": dict(hidden=[400], latent=20, activation=nn.ReLU, batch=128, dynamic=False),
    "deep": dict(hidden=[200, 200], latent=50, activation=nn.Tanh, batch=20, dynamic=True),
}
WINDOWS = 8


def network(sizes, activation):
    layers = []
    for rows, columns in zip(sizes, sizes[1:]):
        layers += [nn.Linear(rows, columns), activation()]
    return nn.Sequential(*layers[:-1])  # nothing after the last


class VAE(nn.Module):
    def __init__(self, hidden, latent, activation):
        super().__init__()
        self.encoder = network([784, *hidden, 2 * latent], activation)
        self.decoder = network([latent, *reversed(hidden), 784], activation)

    def loss(self, x):
        mu, log_var = self.encoder(x).chunk(2, dim=1)
        z = mu + torch.exp(log_var / 2) * torch.randn_like(mu)
        recon = F.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="sum")
        divergence = (mu * mu + log_var.exp() - log_var - 1).sum() / 2
        return (recon + divergence) / len(x)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("model", choices=MODELS)
    p.add_argument("--images", required=True)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--seconds", type=float, default=5)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    c = MODELS[a.model]
    raw = np.frombuffer(gzip.open(a.images).read(), np.uint8)[16:].reshape(-1, 784)
    grey = torch.from_numpy(raw.astype(np.float32) / 255)
    binary = (grey > 0.5).float()
    model = VAE(c["hidden"], c["latent"], c["activation"])
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)

    best, window, images, total = 0.0, 0, 0, 0.0
    began = time.perf_counter()
    while True:
        order = torch.randperm(len(grey))
        for first in range(0, len(order), c["batch"]):
            rows = order[first:first + c["batch"]]
            x = torch.bernoulli(grey[rows]) if c["dynamic"] else binary[rows]
            loss = model.loss(x)
            adam.zero_grad()
            loss.backward()
            adam.step()
            total += loss.item()  # for the mean of the epoch, as a loop that reports it does
            images += len(rows)
            took = time.perf_counter() - began
            if took < a.seconds / WINDOWS:
                continue
            if window > 0:
                best = max(best, images / took)
            window += 1
            if window > WINDOWS:
                print(best)
                return
            images, began = 0, time.perf_counter()


main()
