"""A VAE of `elbo bench`, trained by PyTorch on the CPU: torch_vae.py vae|deep --images FILE [--compile loss|step]

Model and loss are Kingma and Welling's: the cross-entropy of the logits, summed over pixels, plus
the closed form of the divergence. Adam is fused, or compiled with the rest; the batch and the sum of the losses have
buffers that stay, and nothing is read back before the end of a window.
"""
import torch
import torch.nn.functional as F
from torch import nn

import work

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}


def network(sizes, activation):
    layers = []
    for inputs, outputs in zip(sizes, sizes[1:]):
        layers += [nn.Linear(inputs, outputs), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers[:-1])  # nothing after the last


class VAE(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.encoder = network(c.encoder(), c.activation)
        self.decoder = network(c.decoder(), c.activation)

    def forward(self, x):
        """-ELBO, nats per image."""
        mu, log_var = self.encoder(x).chunk(2, dim=1)
        z = mu + torch.exp(log_var / 2) * torch.randn_like(mu)
        recon = F.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="sum")
        divergence = (mu * mu + log_var.exp() - log_var - 1).sum() / 2
        return (recon + divergence) / x.shape[0]


def main():
    p = work.arguments(__doc__, work.VAES)
    p.add_argument("--compile", choices=["loss", "step"], help="torch.compile of the loss and its gradient; or of Adam too, called from C++ where it can be")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(1)
    c = work.VAES[a.work]
    grey = torch.from_numpy(work.grey(a.images) / 255).float()
    source = grey if c.binarise == "dynamic" else (grey > 0.5).float()
    model = VAE(c)
    adam = torch.optim.Adam(model.parameters(), lr=c.rate, fused=a.compile != "step")
    loss_of, update = model, adam.step
    if a.compile == "step":
        torch._inductor.config.cpp_wrapper = True
        update = torch.compile(update)
    if a.compile:
        loss_of = torch.compile(model, dynamic=False)
    probability, x = torch.empty(c.batch, work.PIXELS), torch.empty(c.batch, work.PIXELS)
    total, steps = torch.zeros(()), 0

    def passes(n):
        whole = n // c.batch
        return iter(torch.randperm(n)[:whole * c.batch].view(whole, c.batch))

    def advance(batches):
        nonlocal steps
        rows = next(batches, None)
        if rows is None:
            return 0
        if c.binarise == "dynamic":
            torch.index_select(source, 0, rows, out=probability)
            torch.bernoulli(probability, out=x)
        else:
            torch.index_select(source, 0, rows, out=x)
        loss = loss_of(x)
        adam.zero_grad()
        loss.backward()
        update()
        total.add_(loss.detach())
        steps += 1
        return c.batch

    def finish():
        nonlocal steps
        mean, steps = total.item() / steps, 0
        total.zero_()
        return mean

    figures = work.train(a.seconds, passes, advance, finish)
    work.report(figures, sum(p.numel() for p in model.parameters()), f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}")


main()
