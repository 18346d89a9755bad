"""A VAE of `elbo bench`, trained by PyTorch on the CPU: torch_vae.py vae|deep|conv --images FILE [--compile loss|step]

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


def draw(layers):
    """The first weights of a net with convolutions."""
    weighted = [m for m in layers if hasattr(m, "weight")]
    for m in weighted:
        summands = m.weight[0].numel()
        if isinstance(m, nn.ConvTranspose2d):  # a patch of the small map begins at every other position only
            summands = m.weight.shape[0] * m.weight[0, 0].numel() / 4
        a = work.bound(summands, m is weighted[-1])
        nn.init.uniform_(m.weight, -a, a)
        nn.init.zeros_(m.bias)
    return nn.Sequential(*layers)


def convolutions(c):
    """Encoder and decoder."""
    f, channels = ACTIVATIONS[c.activation], c.channels()
    down, up = [], []
    for fine, coarse in zip(channels, channels[1:]):
        down += [nn.Conv2d(fine, coarse, 3, 2, 1), f()]
        up = [f(), nn.ConvTranspose2d(coarse, fine, 3, 2, 1, 1)] + up
    return (draw([*down, nn.Flatten(), *network(c.encoder(), c.activation)]),
            draw([*network(c.decoder(), c.activation), nn.Unflatten(1, (c.maps[-1], c.side(), c.side())), *up]))


class VAE(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.shape = (1, work.SIDE, work.SIDE) if c.maps else (work.PIXELS,)
        if c.maps:
            self.encoder, self.decoder = convolutions(c)
            self.to(memory_format=torch.channels_last)
        else:
            self.encoder, self.decoder = network(c.encoder(), c.activation), network(c.decoder(), c.activation)

    def forward(self, x):
        """-ELBO, nats per image."""
        mu, log_var = self.encoder(x.view(-1, *self.shape)).chunk(2, dim=1)
        z = mu + torch.exp(log_var / 2) * torch.randn_like(mu)
        recon = F.binary_cross_entropy_with_logits(self.decoder(z).reshape(x.shape), x, reduction="sum")
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
