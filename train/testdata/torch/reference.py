"""Frozen PyTorch references for the variational autoencoder of elbo.

    python3 reference.py gradients          # rewrites gradients.json beside this file
    python3 reference.py gradients OUT.json # writes elsewhere, e.g. to compare

Each case holds a configuration, initial parameters, ten batches with their noise,
the terms and every gradient of the first batch, and the state after ten Adam steps.

Everything is computed in float64 from inputs that are exactly representable in
float32, so a float32 engine starts from the very same numbers. Inputs are
small multiples of a power of 1/2, which also keeps their decimals short.

Letters: B images a batch, D = rows*cols pixels, Z latent, K samples an image.
Row b*K+s of eps is sample s of image b. All terms are in nats per image.
"""

import json
import math
import platform
import sys
from decimal import Decimal, localcontext
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import distributions as td
from torch import nn

SEED = 20
ROWS, COLS, LATENT, BATCH, STEPS, LR = 4, 5, 3, 6, 10, 0.01
PIXELS = ROWS * COLS
ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "elu": nn.ELU, "softplus": nn.Softplus}


def config(hidden, activation, likelihood, objective="elbo", k=1, beta=1.0, variance=None, **more):
    own = {"rows": ROWS, "cols": COLS, "hidden": hidden, "latent": LATENT,
           "activation": activation, "likelihood": likelihood, "objective": objective,
           "k": k, "beta": beta, "variance": variance, "batch": BATCH, "lr": LR}
    return {**more, **own, **more}


CASES = {
    "bernoulli_relu_elbo": config([16, 12], "relu", "bernoulli"),
    "bernoulli_tanh_beta_padded": config([13], "tanh", "bernoulli", beta=0.5),
    "bernoulli_relu_iwae": config([13], "relu", "bernoulli", "iwae", k=3),
    "bernoulli_elu_elbo_k4": config([13], "elu", "bernoulli", k=4),
    "grey_bernoulli_relu_elbo": config([13], "relu", "grey-bernoulli"),
    "continuous_bernoulli_softplus_elbo": config([13], "softplus", "continuous-bernoulli"),
    "gaussian_fixed_tanh_elbo": config([13], "tanh", "gaussian", variance=0.1),
    "gaussian_learned_relu_elbo": config([13], "relu", "gaussian", variance="learned"),
    "gaussian_learned_tanh_iwae": config([13], "tanh", "gaussian", "iwae", k=3, variance="learned"),
}
GRADIENT_CASES = {
    "stl_relu": config([16, 12], "relu", "bernoulli", gradient="stl"),
    "stl_tanh_beta_k2_padded": config([13], "tanh", "bernoulli", k=2, beta=0.5, gradient="stl"),
    "stl_gaussian_learned_elu_k3": config([13], "elu", "gaussian", k=3, variance="learned", gradient="stl"),
    "dreg_relu_k3": config([13], "relu", "bernoulli", "iwae", k=3, gradient="dreg"),
    "dreg_gaussian_learned_tanh_k4": config([13], "tanh", "gaussian", "iwae", k=4, variance="learned", gradient="dreg"),
}
NETWORK_CASES = {
    "bernoulli_gated_iwae": config([16, 12], "relu", "bernoulli", "iwae", k=2, network="gated"),
}
CONV_CASES = {
    "bernoulli_conv_tanh_colour_k2": config([7], "tanh", "bernoulli", k=2, network="conv", channels=3, widths=[3, 2], kernel=3, stride=2),
    "gaussian_conv_elu_iwae": config([], "elu", "gaussian", "iwae", k=2, variance=0.5, network="conv", widths=[4], kernel=3, stride=3),
    "bernoulli_residual_softplus": config([6], "softplus", "bernoulli", network="residual", widths=[2, 3], kernel=3, stride=2, blocks=2),
}
FLOW = {"flow_layers": 2, "flow_hidden": 5}
FAMILY_CASES = {
    "full_relu_elbo_k2": config([13], "relu", "bernoulli", k=2, posterior="full"),
    "full_tanh_iwae": config([13], "tanh", "bernoulli", "iwae", k=3, posterior="full"),
    "coupling_tanh_elbo_k3_beta": config([13], "tanh", "bernoulli", k=3, beta=0.5, posterior="flow", flow="coupling", **FLOW),
    "autoregressive_tanh_iwae": config([13], "tanh", "bernoulli", "iwae", k=3, posterior="flow", flow="autoregressive", **FLOW),
    "flow_prior_tanh_elbo_k2": config([13], "tanh", "bernoulli", k=2, prior="flow", **FLOW),
    "autoregressive_flow_prior_gaussian": config([13], "tanh", "gaussian", k=2, variance=0.1, posterior="flow", flow="autoregressive", prior="flow", **FLOW),
}
OWN = [2, -1, 0, 1, -1, 3]  # the exemplar that each image of a batch is, -1 for none
PRIOR_CASES = {
    "mixture_tanh_elbo_k2": config([13], "tanh", "bernoulli", k=2, prior="mixture", components=20),
    "mixture_full_tanh_iwae": config([13], "tanh", "bernoulli", "iwae", k=3, posterior="full", prior="mixture", components=5),
    "vamp_tanh_elbo_beta": config([13], "tanh", "bernoulli", k=2, beta=0.5, prior="vamp", components=4),
    "vamp_full_tanh_iwae": config([13], "tanh", "bernoulli", "iwae", k=3, posterior="full", prior="vamp", components=17),
    "exemplar_tanh_elbo_k2": config([13], "tanh", "bernoulli", k=2, prior="exemplar", components=5, own=OWN),
    "exemplar_gaussian_learned_iwae": config([13], "tanh", "gaussian", "iwae", k=3, variance="learned", prior="exemplar", components=18, own=OWN),
}
# Two stochastic layers, of 3 and 2 dimensions; 7 units between them.
TWO = {"latent": LATENT + 2, "layers": {"latent": [LATENT, 2], "hidden": [[7]]}}
LAYER_CASES = {
    "layers_tanh_elbo": config([13], "tanh", "bernoulli", **TWO),
    "layers_elu_beta_k3_padded": config([16, 12], "elu", "bernoulli", k=3, beta=0.5, **TWO),
    "layers_tanh_iwae_k3": config([13], "tanh", "bernoulli", "iwae", k=3, **TWO),
    "layers_gaussian_softplus_iwae_k2": config([13], "softplus", "gaussian", "iwae", k=2, variance=1.0, **TWO),
    "layers_tanh_stl_k2": config([13], "tanh", "bernoulli", k=2, gradient="stl", **TWO),
    "layers_tanh_dreg_k3": config([13], "tanh", "bernoulli", "iwae", k=3, gradient="dreg", **TWO),
}
LEVEL_CASES = {
    "logistic_tanh_elbo_k2": config([13], "tanh", "discretized-logistic", k=2),
    "logistic_colour_relu_iwae": config([13], "relu", "discretized-logistic", "iwae", k=3, channels=3),
    "logistic_mixture_tanh_elbo": config([13], "tanh", "discretized-logistic-mixture", k=2, mixtures=3),
    "logistic_mixture_colour_elu_iwae": config([13], "elu", "discretized-logistic-mixture", "iwae", k=2, mixtures=2, channels=3),
    "beta_binomial_colour_tanh_elbo": config([13], "tanh", "beta-binomial", k=2, channels=3),
    "pixel_gaussian_colour_softplus_elbo": config([13], "softplus", "gaussian", variance="pixel", channels=3),
    "dequantised_gaussian_colour_tanh_iwae": config([13], "tanh", "dequantised-gaussian", "iwae", k=2, channels=3),
}
# The files, each with its cases and the number of the first: the seed depends on it.
FILES = {"reference": (CASES, 0), "gradients": (GRADIENT_CASES, 100), "networks": (NETWORK_CASES, 200),
         "families": (FAMILY_CASES, 300), "priors": (PRIOR_CASES, 400), "layers": (LAYER_CASES, 300),
         "convolutions": (CONV_CASES, 500), "levels": (LEVEL_CASES, 600)}
LEVELS = ("discretized-logistic", "discretized-logistic-mixture", "beta-binomial", "dequantised-gaussian")
FULL_FRAME = {"bernoulli_relu_elbo"}


# ---- inputs -------------------------------------------------------------------------

def grid(values, steps=64):
    """Round to multiples of 1/steps: exact in float32 for every magnitude used here."""
    return np.round(np.asarray(values, dtype=np.float64) * steps) / steps


def layer_sizes(c):
    extra = {"full": LATENT * (LATENT - 1) // 2, "flow": c.get("flow_hidden")}.get(c.get("posterior"), 0)
    channels, m = c.get("channels", 1), c.get("mixtures", 0)
    outputs = m * (1 + 2 * channels + 3 * (channels == 3)) if m else channels * (2 if c["likelihood"] in LEVELS or c["variance"] == "pixel" else 1)
    encoder = [PIXELS * channels, *c["hidden"], 2 * LATENT + extra]
    decoder = [LATENT, *reversed(c["hidden"]), PIXELS * outputs]
    if "layers" not in c:
        return {"encoder": encoder, "decoder": decoder}
    (z1, z2), (hidden,) = c["layers"]["latent"], c["layers"]["hidden"]
    return {"encoder": encoder, "encoder_z2": [z1, *hidden, 2 * z2],
            "decoder": decoder, "decoder_z1": [z2, *reversed(hidden), 2 * z1]}


def linear_sizes(c, sizes):
    """Inputs and outputs of the affine maps: of gated layers, [h | g], twice the outputs but
    for the last."""
    last = len(sizes) - 2
    return [(n_in, 2 * n_out if c.get("network") == "gated" and i < last else n_out)
            for i, (n_in, n_out) in enumerate(zip(sizes, sizes[1:]))]


def initial_parameters(c, rng):
    """Glorot-uniform weights and small biases that are not zero, so that a bias
    added to the wrong unit shows. Biases sit a little off the grid of weight times
    pixel, or a relu input would now and then be exactly 0."""
    params = {}
    for name, p in VAE(c).named_parameters() if "widths" in c else ():
        fans = sum(p.shape[:2]) * math.prod(p.shape[2:])
        bound = math.sqrt(6 / fans) if p.dim() > 1 else 0.25
        params[name] = grid(rng.uniform(-bound, bound, p.shape)) + (2.0**-12 if p.dim() == 1 else 0)

    def add(name, n_in, n_out):
        bound = math.sqrt(6 / (n_in + n_out))
        params[f"{name}.weight"] = grid(rng.uniform(-bound, bound, (n_out, n_in)))
        params[f"{name}.bias"] = grid(rng.uniform(-0.25, 0.25, n_out)) + 2.0**-12

    def add_flow(part, flow, context):
        for i, (kept, moved) in enumerate(flow_columns(c, flow)):
            add(f"{part}.flow.{i}.net.0", len(kept) + context, c["flow_hidden"])
            add(f"{part}.flow.{i}.net.2", c["flow_hidden"], 2 * len(moved))

    for part, sizes in layer_sizes(c).items() if "widths" not in c else ():
        for i, (n_in, n_out) in enumerate(linear_sizes(c, sizes)):
            add(f"{part}.{2 * i}", n_in, n_out)
        if part == "encoder" and c.get("posterior") == "flow":
            add_flow("encoder", c["flow"], c["flow_hidden"])
    if c["likelihood"] == "continuous-bernoulli":
        # Pixels 0..5 get logits that do not depend on z: at zero, on both sides of it,
        # and far out. The normaliser is a removable 0/0 at zero.
        last = f"decoder.{2 * len(c['hidden'])}"
        params[f"{last}.weight"][:6] = 0
        params[f"{last}.bias"][:6] = [0, 2.0**-16, -(2.0**-10), 2.0**-7, 9, -9]
    if c["variance"] == "learned":
        params["likelihood.log_variance"] = np.array([-1.25])
    if c.get("prior") == "flow":
        add_flow("prior", "coupling", 0)
    k = c.get("components")
    if c.get("prior") == "mixture":
        params["prior.components"] = np.hstack([grid(rng.standard_normal((k, LATENT))), grid(rng.uniform(-1.5, 0.5, (k, LATENT)))])
        params["prior.logits"] = grid(rng.uniform(-1, 1, k))
    if c.get("prior") == "vamp":  # some pixels are at an end of [0, 1], which a step leaves
        params["prior.pseudo_inputs"] = np.clip(grid(rng.uniform(-0.2, 1.2, (k, PIXELS))), 0, 1)
    if c.get("prior") == "exemplar":
        params["prior.exemplars"] = grid(rng.uniform(0, 1, (k, PIXELS)), 16)
    return params


def batches(name, c, rng):
    """Noisy copies of three prototypes, binary or grey as the likelihood asks. In all
    cases but the first the outer columns stay black, as the margins of MNIST do: Adam
    must leave a weight alone whose gradient has always been exactly 0."""
    binary = c["likelihood"] == "bernoulli"
    prototypes = rng.uniform(size=(3, PIXELS * c.get("channels", 1)))
    out = []
    for step in range(STEPS):
        x = prototypes[rng.randint(3, size=BATCH)]
        if binary:
            x = np.where(rng.uniform(size=x.shape) < 0.1, x < 0.5, x >= 0.5).astype(np.float64)
        else:
            # The slope pushes some pixels to exactly 0 and exactly 1.
            x = grid(np.clip(1.4 * (x - 0.5) + 0.5 + 0.1 * rng.standard_normal(x.shape), 0, 1), 16)
            if c["likelihood"] in LEVELS:
                x = (np.round(255 * x) / 255).astype(np.float32).astype(np.float64)
        if name not in FULL_FRAME:
            x.reshape(BATCH, ROWS, COLS, -1)[:, :, [0, -1]] = 0
        eps = grid(rng.standard_normal((BATCH * c["k"], c["latent"])))
        weight = np.ones(BATCH)
        if name.endswith("padded") and step == STEPS - 1:
            # Padding rows keep their pixels and noise: only the weight silences them.
            weight[-2:] = 0
        out.append({"x": x, "eps": eps, "weight": weight})
    return out


# ---- flows --------------------------------------------------------------------------

def flow_columns(c, flow):
    """The columns of z that each layer's net sees, in their order, and those that it moves."""
    every = list(range(LATENT))
    for i in range(c["flow_layers"]):
        if flow == "autoregressive":
            order = every[::-1] if i % 2 else every
            yield order, order
        else:
            yield [j for j in every if j % 2 != i % 2], [j for j in every if j % 2 == i % 2]


class FlowLayer(nn.Module):
    """z' = z exp(s) + t on the moved columns, s = 2 tanh(a/2), [a | t] = net([kept | context])."""

    def __init__(self, c, flow, kept, moved, context):
        super().__init__()
        self.kept, self.moved, self.masks = kept, moved, None
        hidden = c["flow_hidden"]
        self.net = nn.Sequential(nn.Linear(len(kept) + context, hidden), nn.Tanh(), nn.Linear(hidden, 2 * len(moved)))
        if flow == "autoregressive":  # MADE: unit k sees the first k mod Z columns, output j the units that see no more than j
            degree = torch.arange(hidden) % len(kept)
            column = torch.cat([torch.arange(len(kept)), torch.full((context,), -1)])
            output = torch.arange(len(moved)).repeat(2)
            self.masks = [column[None, :] < degree[:, None], degree[None, :] <= output[:, None]]

    def scales(self, z, context):
        x = torch.cat([z[:, self.kept], context], 1)
        first, second = self.net[0], self.net[2]
        w1, w2 = first.weight, second.weight
        if self.masks:
            w1, w2 = w1 * self.masks[0], w2 * self.masks[1]
        a, t = F.linear(torch.tanh(F.linear(x, w1, first.bias)), w2, second.bias).chunk(2, dim=-1)
        return 2 * torch.tanh(a / 2), t

    def forward(self, z, context):
        s, t = self.scales(z, context)
        out = z.clone()
        out[:, self.moved] = z[:, self.moved] * torch.exp(s) + t
        return out, s.sum(-1)

    def inverse(self, z, context):
        s, t = self.scales(z, context)  # of columns that a coupling leaves as they are
        out = z.clone()
        out[:, self.moved] = (z[:, self.moved] - t) * torch.exp(-s)
        return out, s.sum(-1)


class Flow(nn.ModuleList):
    def __init__(self, c, flow, context):
        super().__init__([FlowLayer(c, flow, kept, moved, context) for kept, moved in flow_columns(c, flow)])

    def run(self, z, context, inverse=False):
        log_det = 0
        for layer in reversed(self) if inverse else self:
            z, l = layer.inverse(z, context) if inverse else layer(z, context)
            log_det = log_det + l
        return z, log_det


class Part(nn.Sequential):
    """The layers of an encoder, which may hold a flow besides."""

    def forward(self, x):
        for name, module in self.named_children():
            if name != "flow":
                x = module(x)
        return x


# ---- model --------------------------------------------------------------------------

class Residual(nn.Sequential):
    def forward(self, x):
        return x + super().forward(x)


class Images(nn.Sequential):
    """An encoder of images, or a decoder to images, with the parameters' names of its modules.
    elbo stores images as rows of numbers with the channels last."""
    def __init__(self, before, after, *modules):
        super().__init__(*modules)
        self.before, self.after = before, after

    def forward(self, x):
        return self.after(super().forward(self.before(x)))


def convolutional(c):
    """Encoder and decoder. A padding of kernel // 2, and of the transpose the output_padding with
    which it ends where it began."""
    f, kernel, stride, channels = ACTIVATIONS[c["activation"]], c["kernel"], c["stride"], c.get("channels", 1)
    widths, maps = [channels, *c["widths"]], [(ROWS, COLS)]
    for _ in c["widths"]:
        maps.append(tuple(-(-n // stride) for n in maps[-1]))

    def residual(n):
        conv = lambda: nn.Conv2d(n, n, kernel, 1, kernel // 2)
        return [Residual(f(), conv(), f(), conv()) for _ in range(c.get("blocks", 0))]

    def dense(sizes):
        layers = []
        for n_in, n_out in zip(sizes, sizes[1:]):
            layers += [nn.Linear(n_in, n_out), f()]
        return layers[:-1]

    features = widths[-1] * math.prod(maps[-1])
    down, up = [], []
    for i, (n_in, n_out) in enumerate(zip(widths, widths[1:])):
        down += [nn.Conv2d(n_in, n_out, kernel, stride, kernel // 2), *residual(n_out), f()]
        more = [n - 1 - (m - 1) * stride for n, m in zip(maps[i], maps[i + 1])]
        up = [*residual(n_out), f(), nn.ConvTranspose2d(n_out, n_in, kernel, stride, kernel // 2, more), *up]
    same = lambda x: x
    return (Images(lambda x: x.view(-1, ROWS, COLS, channels).permute(0, 3, 1, 2), same, *down, nn.Flatten(), *dense([features, *c["hidden"], 2 * LATENT])),
            Images(same, lambda y: y.permute(0, 2, 3, 1).reshape(len(y), -1),
                   *dense([LATENT, *reversed(c["hidden"]), features]), nn.Unflatten(1, (widths[-1], *maps[-1])), *up))


class VAE(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.config = c
        if "widths" in c:
            self.encoder, self.decoder = convolutional(c)
        for part, sizes in layer_sizes(c).items() if "widths" not in c else ():
            layers = []
            between = nn.GLU if c.get("network") == "gated" else ACTIVATIONS[c["activation"]]
            for n_in, n_out in linear_sizes(c, sizes):
                layers += [nn.Linear(n_in, n_out), between()]
            setattr(self, part, Part(*layers[:-1]))
        if c.get("posterior") == "flow":
            self.encoder.add_module("flow", Flow(c, c["flow"], c["flow_hidden"]))
        if c["variance"] == "learned":
            self.likelihood = nn.Module()
            self.likelihood.log_variance = nn.Parameter(torch.zeros(1))
        if c.get("prior") == "flow":
            self.prior = nn.Module()
            self.prior.flow = Flow(c, "coupling", 0)
        if "components" in c:
            self.prior, k = nn.Module(), c["components"]
            if c["prior"] == "mixture":
                self.prior.components = nn.Parameter(torch.zeros(k, 2 * LATENT))
                self.prior.logits = nn.Parameter(torch.zeros(k))
            elif c["prior"] == "vamp":
                self.prior.pseudo_inputs = nn.Parameter(torch.zeros(k, PIXELS))
            else:
                self.prior.exemplars = nn.Parameter(torch.zeros(k, PIXELS), requires_grad=False)

    def project(self):
        """Pseudo-inputs stay images."""
        if self.config.get("prior") == "vamp":
            self.prior.pseudo_inputs.data.clamp_(0, 1)

    def log_mixture(self, z):
        """log p(z) of a mixture, of each row: components apart, by torch's own densities."""
        c = self.config
        log_pi = torch.full((c["components"],), -math.log(c["components"]), dtype=z.dtype)
        if c["prior"] == "mixture":
            h, log_pi, full = self.prior.components, torch.log_softmax(self.prior.logits, 0), False
        else:
            h = self.encoder(self.prior.pseudo_inputs if c["prior"] == "vamp" else self.prior.exemplars)
            full = c.get("posterior") == "full"
        logs = log_pi + member_densities(z, h, full)
        if "own" in c:
            own = torch.tensor(c["own"]).repeat_interleave(c["k"])
            masked = torch.arange(c["components"]) == own[:, None]
            logs = logs.masked_fill(masked, -math.inf)
            logs = logs - torch.log((log_pi.exp() * ~masked).sum(1, keepdim=True))
        return torch.logsumexp(logs, 1)

    def log_variance(self, like):
        if self.config["variance"] == "learned":
            return self.likelihood.log_variance
        return torch.full((1,), math.log(self.config["variance"]), dtype=like.dtype)

    def log_likelihood(self, x, out):
        """log p(x|z) summed over pixels; x and the decoder's output are [B*K, D]."""
        kind = self.config["likelihood"]
        if kind in LEVELS or self.config["variance"] == "pixel":
            return of_levels(self.config, x, out)
        if kind in ("bernoulli", "grey-bernoulli"):
            pixel = x * out - softplus(out)
        elif kind == "continuous-bernoulli":
            pixel = x * out - log_normaliser(out)
        else:
            lv = self.log_variance(out)
            pixel = -0.5 * ((x - out) ** 2 * torch.exp(-lv) + lv + math.log(2 * math.pi))
        return pixel.sum(-1)

    def log_ratio(self, z, mu, logvar, held=False):
        """log p(z) - log q(z|x), [B*K]; held: the networks of q are constants."""
        if "layers" not in self.config:
            return log_normal(z, torch.zeros_like(z), torch.zeros_like(z)) - log_normal(z, mu, logvar)
        z1, z2 = z[:, :LATENT], z[:, LATENT:]
        q2 = {n: p.detach() if held else p for n, p in self.encoder_z2.named_parameters()}
        log_q = log_normal(z1, mu, logvar) + log_normal(z2, *torch.func.functional_call(self.encoder_z2, q2, z1).chunk(2, dim=-1))
        log_p = log_normal(z1, *self.decoder_z1(z2).chunk(2, dim=-1)) + log_normal(z2, torch.zeros_like(z2), torch.zeros_like(z2))
        return log_p - log_q

    def forward(self, x, eps):
        """The terms of each image, and the intermediate values the checks look at. Among
        these is ascent: the bound with the gradient that training follows."""
        c = self.config
        if "posterior" in c or "prior" in c:
            return self.families(x, eps)
        mu, logvar = self.encoder(x).chunk(2, dim=-1)
        rows = lambda t: t.repeat_interleave(c["k"], dim=0)  # [B, .] -> [B*K, .]
        z = rows(mu) + torch.exp(rows(logvar) / 2) * eps[:, :LATENT]
        if "layers" in c:
            mu2, logvar2 = self.encoder_z2(z).chunk(2, dim=-1)
            z = torch.cat([z, mu2 + torch.exp(logvar2 / 2) * eps[:, LATENT:]], 1)
        drawn = z
        if c.get("gradient") == "dreg" and z.requires_grad:
            # What comes back to the draws is weighted once more, see below.
            z = z.clone()
            z.register_hook(lambda g: g * torch.softmax(log_w.detach(), 1).reshape(-1, 1))
        out = self.decoder(z[:, :LATENT])
        log_px = self.log_likelihood(rows(x), out).view(-1, c["k"])
        recon = log_px.mean(1)
        log_ratio = self.log_ratio(z, rows(mu), rows(logvar))
        kl = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(-1)
        if "layers" in c:
            kl = -log_ratio.view(-1, c["k"]).mean(1)
        log_w = log_px + log_ratio.view(-1, c["k"])
        if c["objective"] == "iwae":
            bound = torch.logsumexp(log_w, 1) - math.log(c["k"])
        else:
            bound = recon - c["beta"] * kl
        ascent = bound
        if "gradient" in c:
            # log q sees its own parameters held: the gradient goes through z alone.
            ratio = self.log_ratio(z, rows(mu).detach(), rows(logvar).detach(), held=True).view(-1, c["k"])
            if c["gradient"] == "stl":
                ascent = recon + c["beta"] * ratio.mean(1)
            else:
                ascent = torch.logsumexp(log_px + ratio, 1) - math.log(c["k"])
        return {"recon": recon, "kl": kl, "bound": bound}, {
            "ascent": ascent, "drawn": drawn, "mu": mu, "logvar": logvar, "z": z, "out": out, "log_px": log_px, "log_w": log_w}


    def families(self, x, eps):
        """forward of other posteriors than a diagonal Gaussian, and of a prior that is a flow."""
        c = self.config
        h = self.encoder(x).repeat_interleave(c["k"], dim=0)  # [B*K, .]
        mu, second = h[:, :LATENT], h[:, LATENT:2 * LATENT]
        none = h[:, :0]
        kl = None
        if c.get("posterior") == "full":
            scale = torch.diag_embed(torch.exp(second))
            lower = torch.tril_indices(LATENT, LATENT, -1)
            scale[:, lower[0], lower[1]] = h[:, 2 * LATENT:]
            z = mu + (scale @ eps[:, :, None])[:, :, 0]
            q = td.MultivariateNormal(mu, scale_tril=scale, validate_args=False)
            log_q = q.log_prob(z)
            if "prior" not in c:
                kl = td.kl_divergence(q, td.MultivariateNormal(torch.zeros_like(mu), torch.eye(LATENT, dtype=mu.dtype)))[::c["k"]]
        else:
            base = mu + torch.exp(second / 2) * eps
            z, log_q = base, log_normal(base, mu, second)
            if c.get("posterior") == "flow":
                z, log_det = self.encoder.flow.run(base, h[:, 2 * LATENT:])
                log_q = log_q - log_det
        if c.get("prior") == "flow":
            u, log_det = self.prior.flow.run(z, none, inverse=True)
            log_p = log_normal(u, torch.zeros_like(u), torch.zeros_like(u)) - log_det
        elif "components" in c:
            log_p = self.log_mixture(z)
        else:
            log_p = log_normal(z, torch.zeros_like(z), torch.zeros_like(z))
        out = self.decoder(z)
        log_px = self.log_likelihood(x.repeat_interleave(c["k"], dim=0), out).view(-1, c["k"])
        log_ratio = (log_p - log_q).view(-1, c["k"])
        recon = log_px.mean(1)
        if kl is None:
            kl = -log_ratio.mean(1)
        log_w = log_px + log_ratio
        if c["objective"] == "iwae":
            bound = torch.logsumexp(log_w, 1) - math.log(c["k"])
        else:
            bound = recon - c["beta"] * kl
        return {"recon": recon, "kl": kl, "bound": bound}, {
            "ascent": bound, "h": h, "z": z, "log_q": log_q, "log_p": log_p, "out": out, "log_px": log_px, "log_w": log_w}


def of_levels(c, x, out, other=False):
    """log p(x|z) of likelihoods with several numbers a pixel; other: by another formula."""
    kind, channels = c["likelihood"], c.get("channels", 1)
    x, o = x.view(len(x), PIXELS, channels), out.view(len(x), PIXELS, -1)
    first, second = o[..., :channels], o[..., channels:]  # of all but mixtures
    if kind == "gaussian":
        value = td.Normal(first, torch.exp(second / 2)).log_prob(x) if other else \
            -0.5 * ((x - first) ** 2 * torch.exp(-second) + second + math.log(2 * math.pi))
    elif kind == "dequantised-gaussian":
        v = torch.round(255 * x)
        if other:  # Simpson's rule is exact for a square
            at = [td.Normal(first, torch.exp(second / 2)).log_prob((v + u) / 256) for u in (0, 0.5, 1)]
            value = (at[0] + 4 * at[1] + at[2]) / 6 - math.log(256)
        else:
            square = ((v + 0.5) / 256 - first) ** 2 + 1 / (12 * 256**2)
            value = -0.5 * (square * torch.exp(-second) + second + math.log(2 * math.pi)) - math.log(256)
    elif kind == "beta-binomial":
        v, m, s = torch.round(255 * x), torch.sigmoid(first), torch.exp(second)
        a, b = s * m, s * (1 - m)
        if other:  # by the ratios of neighbours
            w = torch.arange(255, dtype=x.dtype)
            ratios = torch.log((255 - w) * (w + a[..., None]) / ((w + 1) * (254 - w + b[..., None])))
            logs = torch.cat([torch.zeros_like(a)[..., None], ratios.cumsum(-1)], -1)
            value = torch.log_softmax(logs, -1).gather(-1, v.long()[..., None])[..., 0]
        else:
            g = torch.lgamma
            value = (math.lgamma(256) - g(v + 1) - g(256 - v) + g(v + a) + g(255 - v + b) - g(255 + s) + g(s) - g(a) - g(b))
    elif kind == "discretized-logistic":
        value = logistic_mass(x, first, second, other)
    else:
        m = c["mixtures"]
        logits, o = o[..., :m], o[..., m:].view(len(x), PIXELS, m, -1)
        mu, scale, t = o[..., :channels], o[..., channels:2 * channels], torch.tanh(o[..., 2 * channels:])
        x = x[:, :, None, :]
        if channels == 3:
            red, green = x[..., :1] - 0.5, x[..., 1:2] - 0.5
            mu = torch.cat([mu[..., :1], mu[..., 1:2] + t[..., :1] * red, mu[..., 2:] + t[..., 1:2] * red + t[..., 2:] * green], -1)
        logs = logistic_mass(x, mu, scale, other).sum(-1)
        value = torch.log((torch.softmax(logits, -1) * logs.exp()).sum(-1)) if other else \
            torch.logsumexp(torch.log_softmax(logits, -1) + logs, -1)
    return value.reshape(len(x), -1).sum(-1)


def logistic_mass(x, mu, log_scale, other):
    """log(F(x + 1/2) - F(x - 1/2)), in levels; 0 and 255 have the tails."""
    a, b = ((x + e / 510 - mu) * torch.exp(-log_scale) for e in (1, -1))
    black, white = x <= 0, x >= 1
    if other:
        return torch.log(torch.where(white, torch.ones_like(a), torch.sigmoid(a)) - torch.where(black, torch.zeros_like(b), torch.sigmoid(b)))
    inside = F.logsigmoid(a) + F.logsigmoid(-b) + torch.log(-torch.expm1(b - a))
    return torch.where(black, F.logsigmoid(a), torch.where(white, F.logsigmoid(-b), inside))


def softplus(l):
    """log(1 + e^l). F.softplus is not used: above 20 it drops the 2e-9 that is left."""
    return -F.logsigmoid(-l)


def member_densities(z, h, full):
    """log q(z_r|h_k), [R, K]."""
    z, mu, second = z[:, None], h[:, :LATENT], h[:, LATENT:2 * LATENT]
    if not full:
        return td.Normal(mu, torch.exp(second / 2)).log_prob(z).sum(-1)
    scale = torch.diag_embed(torch.exp(second))
    lower = torch.tril_indices(LATENT, LATENT, -1)
    scale[:, lower[0], lower[1]] = h[:, 2 * LATENT:]
    return td.MultivariateNormal(mu, scale_tril=scale, validate_args=False).log_prob(z)


def log_normal(z, mean, logvar):
    return -0.5 * ((z - mean) ** 2 * torch.exp(-logvar) + logvar + math.log(2 * math.pi)).sum(-1)


# log(sinh(u)/u) = sum_n 4^n B_2n / (2n (2n)!) u^2n. At |u| < 1/4 the first term left out
# is below 1e-17 of the sum: successive terms shrink by (u/pi)^2 < 0.0064.
BERNOULLI_NUMBERS = [Fraction(*f) for f in [(1, 6), (-1, 30), (1, 42), (-1, 30), (5, 66),
                                            (-691, 2730), (7, 6), (-3617, 510)]]
SERIES = [float(4**n * b / (2 * n * math.factorial(2 * n)))
          for n, b in enumerate(BERNOULLI_NUMBERS, start=1)]


def log_normaliser(l):
    """log((e^l - 1)/l), the log-partition function of the continuous Bernoulli, as
    u + log(sinh(u)/u) with u = l/2: by its series near 0, directly elsewhere."""
    u = l / 2
    near = u.abs() < 0.25
    # Each branch sees harmless values where the other is taken, or 0*inf = nan
    # would reach the gradient.
    small = torch.where(near, u, torch.zeros_like(u)) ** 2
    large = torch.where(near, torch.ones_like(u), u).abs()
    series = torch.zeros_like(u)
    for coefficient in reversed(SERIES):
        series = (series + coefficient) * small
    direct = large + torch.log(-torch.expm1(-2 * large)) - torch.log(2 * large)
    return u + torch.where(near, series, direct)


def loss_of(terms, weight, of="bound"):
    """Minus the weighted mean: rows of weight 0 count neither above nor below the line."""
    return -(weight * terms[of]).sum() / weight.sum()


# ---- checks -------------------------------------------------------------------------

def assert_close(what, got, want, rtol=1e-12, atol=1e-12):
    torch.testing.assert_close(got, want, rtol=rtol, atol=atol, msg=lambda m: f"{what}: {m}")


def check_log_normaliser():
    """Value and derivative against 50-digit decimals, on both sides of the series' edge."""
    points = [s * v for v in (2.0**-20, 2.0**-10, 0.01, 0.1, 0.4999, 0.5, 0.5001, 1, 2.5, 9, 30)
              for s in (1, -1)]
    l = torch.tensor(points, dtype=torch.float64, requires_grad=True)
    value = log_normaliser(l)
    slope, = torch.autograd.grad(value.sum(), l)
    with localcontext() as ctx:
        ctx.prec = 50
        exact = [Decimal(p) for p in points]
        want = [float(((p.exp() - 1) / p).ln()) for p in exact]
        want_slope = [float(1 / (1 - (-p).exp()) - 1 / p) for p in exact]
    assert_close("log normaliser", value.detach(), torch.tensor(want, dtype=torch.float64), 1e-14, 0)
    assert_close("its derivative", slope, torch.tensor(want_slope, dtype=torch.float64), 1e-13, 0)
    zero = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    slope, = torch.autograd.grad(log_normaliser(zero).sum(), zero)
    assert log_normaliser(zero).item() == 0 and slope.item() == 0.5


def check_terms(model, x, eps, terms, seen):
    """Every term against torch's own implementation of it."""
    c = model.config
    out, log_px = seen["out"], seen["log_px"].reshape(-1)
    rows = x.repeat_interleave(c["k"], dim=0)
    if c["likelihood"] in LEVELS or c["variance"] == "pixel":
        other = of_levels(c, rows, out, other=True)[:, None]
    elif c["likelihood"] in ("bernoulli", "grey-bernoulli"):
        other = -F.binary_cross_entropy_with_logits(out, rows, reduction="none")
    elif c["likelihood"] == "continuous-bernoulli":
        # torch switches to a Taylor polynomial for probabilities in (0.499, 0.501); just
        # outside it subtracts nearly equal numbers, hence the wider tolerance.
        other = td.ContinuousBernoulli(logits=out).log_prob(rows)
        exact = rows * out - log_normaliser(out)
        assert_close("continuous Bernoulli", exact, other, 0, 1e-10)
        assert (out == 0).any() and ((out != 0) & (out.abs() < 0.004)).any() and (out.abs() > 5).any()
    else:
        other = td.Normal(out, torch.exp(model.log_variance(out) / 2)).log_prob(rows)
    assert_close("log p(x|z)", log_px, other.sum(-1), 1e-11, 1e-11)
    if "h" in seen:
        return check_families(model, eps, seen)

    if "layers" in c:
        return check_layers(model, eps, terms, seen)
    q = td.Normal(seen["mu"], torch.exp(seen["logvar"] / 2))
    prior = td.Normal(torch.zeros_like(seen["mu"]), torch.ones_like(seen["mu"]))
    assert_close("kl", terms["kl"], td.kl_divergence(q, prior).sum(-1))
    z = seen["z"].view(-1, c["k"], LATENT).transpose(0, 1)  # [K, B, Z]
    assert_close("z", (z - q.loc) / q.scale, eps.view(-1, c["k"], LATENT).transpose(0, 1))
    log_w = seen["log_px"] + (prior.log_prob(z) - q.log_prob(z)).sum(-1).T
    assert_close("log w", seen["log_w"], log_w)
    if c["objective"] == "iwae":
        assert_close("iwae", terms["bound"], log_w.exp().mean(1).log(), 1e-11)
        assert (terms["bound"] > log_w.mean(1)).all(), "Jensen: log mean w >= mean log w"


def check_layers(model, eps, terms, seen):
    """Each of the four Gaussians by torch's own, and the noise that the draws came from."""
    c = model.config
    normal = lambda h: td.Independent(td.Normal(h.chunk(2, dim=-1)[0], torch.exp(h.chunk(2, dim=-1)[1] / 2)), 1)
    rows = lambda t: t.repeat_interleave(c["k"], dim=0)
    z1, z2 = seen["z"][:, :LATENT], seen["z"][:, LATENT:]
    q1, q2 = normal(rows(torch.cat([seen["mu"], seen["logvar"]], 1))), normal(model.encoder_z2(z1))
    p1, p2 = normal(model.decoder_z1(z2)), normal(torch.zeros(len(z2), 2 * z2.shape[1], dtype=z2.dtype))
    noise = torch.cat([(z - q.base_dist.loc) / q.base_dist.scale for z, q in ((z1, q1), (z2, q2))], 1)
    assert_close("z", noise, eps)
    ratio = (p1.log_prob(z1) + p2.log_prob(z2) - q1.log_prob(z1) - q2.log_prob(z2)).view(-1, c["k"])
    assert_close("kl", terms["kl"], -ratio.mean(1))
    assert_close("log w", seen["log_w"], seen["log_px"] + ratio)
    assert_close("out", seen["out"], model.decoder(z1))
    if c["objective"] == "iwae":
        assert_close("iwae", terms["bound"], (seen["log_px"] + ratio).exp().mean(1).log(), 1e-11)


def check_directional_derivative(model, inputs, grads, rng):
    """The gradient along one random direction, by central differences. The step 1e-6
    leaves rounding of about 1e-16 * loss / 1e-6 = 1e-9; 1e-7 relative to a slope of
    order one holds with room."""
    start = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
    direction = {n: torch.from_numpy(rng.standard_normal(tuple(p.shape))) for n, p in start.items()}

    def loss_at(h):
        model.load_state_dict({n: p + h * direction[n] for n, p in start.items()}, strict=False)
        with torch.no_grad():
            return loss_of(model(inputs["x"], inputs["eps"])[0], inputs["weight"]).item()

    measured = (loss_at(1e-6) - loss_at(-1e-6)) / 2e-6
    model.load_state_dict(start, strict=False)
    slope = sum((grads[n] * direction[n]).sum().item() for n in start)
    assert abs(measured - slope) < 1e-7 * (1 + abs(slope)), f"slope {slope}, measured {measured}"


def check_families(model, eps, seen):
    """Densities against the change of variables with a determinant by torch's Jacobian, row
    by row, and the two ways of a coupling against each other."""
    c = model.config
    h, z = seen["h"], seen["z"]
    jacobian = torch.autograd.functional.jacobian
    if c.get("posterior") == "full":
        covariance = torch.zeros(LATENT, LATENT, dtype=z.dtype)
        below = iter(h[0, 2 * LATENT:])
        scale = [[next(below) if j < i else torch.exp(h[0, LATENT + i]) if i == j else torch.zeros(()) for j in range(LATENT)] for i in range(LATENT)]
        scale = torch.tensor([[float(v) for v in row] for row in scale], dtype=z.dtype)
        covariance = scale @ scale.T
        assert_close("log q", seen["log_q"][0], td.MultivariateNormal(h[0, :LATENT], covariance).log_prob(z[0]), 1e-9, 1e-9)
        assert_close("z", z[0], h[0, :LATENT] + scale @ eps[0])
    if c.get("posterior") == "flow":
        for r in range(4):
            context = h[r:r + 1, 2 * LATENT:]
            base = h[r:r + 1, :LATENT] + torch.exp(h[r:r + 1, LATENT:2 * LATENT] / 2) * eps[r:r + 1]
            j = jacobian(lambda b: model.encoder.flow.run(b, context)[0], base)[0, :, 0]
            own = td.Normal(h[r, :LATENT], torch.exp(h[r, LATENT:2 * LATENT] / 2)).log_prob(base[0]).sum()
            assert_close("log q", seen["log_q"][r], own - torch.linalg.slogdet(j)[1])
    if "components" in c:  # log p(z) by plain loops, row by row
        h, pi = None, np.full(c["components"], 1 / c["components"])
        if c["prior"] == "mixture":
            h, pi = model.prior.components, torch.softmax(model.prior.logits, 0).numpy()
        else:
            h = model.encoder(model.prior.pseudo_inputs if c["prior"] == "vamp" else model.prior.exemplars)
        for r in range(len(z)):
            own = c["own"][r // c["k"]] if "own" in c else -1
            p = rest = 0.0
            for k in range(c["components"]):
                if k == own:
                    continue
                mean, scale = h[k, :LATENT], torch.diag(torch.exp(h[k, LATENT:2 * LATENT] / 2))
                if c["prior"] != "mixture" and c.get("posterior") == "full":
                    scale = torch.diag(torch.exp(h[k, LATENT:2 * LATENT]))
                    scale[1, 0], scale[2, 0], scale[2, 1] = h[k, 2 * LATENT:]
                u = torch.linalg.solve(scale, z[r] - mean)
                log_q = -0.5 * (u @ u).item() - torch.linalg.slogdet(scale)[1].item() - LATENT / 2 * math.log(2 * math.pi)
                p, rest = p + pi[k] * math.exp(log_q), rest + pi[k]
            assert abs(seen["log_p"][r].item() - math.log(p / rest)) < 1e-9, (r, seen["log_p"][r], math.log(p / rest))
    if c.get("prior") == "flow":
        none = z[:, :0]
        for r in range(4):
            u = model.prior.flow.run(z[r:r + 1], none[r:r + 1], inverse=True)[0]
            assert_close("f(u)", model.prior.flow.run(u, none[r:r + 1])[0], z[r:r + 1])
            j = jacobian(lambda u: model.prior.flow.run(u, none[r:r + 1])[0], u)[0, :, 0]
            own = td.Normal(torch.zeros_like(u), torch.ones_like(u)).log_prob(u).sum()
            assert_close("log p", seen["log_p"][r], own - torch.linalg.slogdet(j)[1])


def check_path_gradient(model, x, eps, weight, grads):
    """The gradient of the encoder by its formula, one draw after another: the slope of
    log w_k in z_k, times 1/k for stl and the squared weight for dreg, pulled back to the
    encoder through z_k alone. The decoder's is that of the bound as it is."""
    c = model.config
    terms, seen = model(x, eps)
    rows = lambda t: t.repeat_interleave(c["k"], dim=0).detach()
    z = seen["drawn"].detach().requires_grad_()
    log_ratio = model.log_ratio(z, rows(seen["mu"]), rows(seen["logvar"]))
    log_w = model.log_likelihood(rows(x), model.decoder(z[:, :LATENT])) + c["beta"] * log_ratio
    slope, = torch.autograd.grad(log_w.sum(), z)
    if c["gradient"] == "stl":
        share = torch.full_like(slope[:, :1], 1 / c["k"])
    else:
        share = torch.softmax(log_w.detach().view(-1, c["k"]), 1).reshape(-1, 1) ** 2
    back = -(weight / weight.sum()).repeat_interleave(c["k"])[:, None] * share * slope
    encoder = {n: p for n, p in model.named_parameters() if n.startswith("encoder")}
    want = torch.autograd.grad(seen["drawn"], list(encoder.values()), back, retain_graph=True)
    for n, g in zip(encoder, want):
        assert_close("gradient of " + n, grads[n], g)
    others = [n for n in grads if n not in encoder]
    want = torch.autograd.grad(loss_of(terms, weight), [p for n, p in model.named_parameters() if n in others])
    for n, g in zip(others, want):
        assert_close("gradient of " + n, grads[n], g)
    standard = torch.autograd.grad(loss_of(model(x, eps)[0], weight), list(encoder.values()))
    assert max((grads[n] - g).abs().max() for n, g in zip(encoder, standard)) > 1e-3, "no other than the standard gradient"


# ---- one case -----------------------------------------------------------------------

def build(c, params, dtype):
    model = VAE(c).to(dtype)
    model.load_state_dict({n: torch.from_numpy(p).to(dtype) for n, p in params.items()}, strict=True)
    assert list(params) == [n for n, _ in model.named_parameters()]
    return model


def named_gradients(model):
    return {n: p.grad.detach().clone() for n, p in model.named_parameters() if p.requires_grad}


def train(c, params, data, dtype):
    """Ten Adam steps, one batch each. Losses are those before each step's update."""
    model = build(c, params, dtype)
    adam = torch.optim.Adam(model.parameters(), lr=c["lr"], betas=(0.9, 0.999), eps=1e-8)
    losses, first, clearance = [], None, [math.inf]
    if c["activation"] == "relu":
        for module in model.modules():
            if isinstance(module, nn.ReLU):
                module.register_forward_hook(
                    lambda _, inputs, __: clearance.append(inputs[0].abs().min().item()))
    for batch in data:
        b = {n: torch.from_numpy(v).to(dtype) for n, v in batch.items()}
        adam.zero_grad()
        terms, seen = model(b["x"], b["eps"])
        loss = loss_of(terms, b["weight"])
        loss_of(seen, b["weight"], "ascent").backward()
        first = first or named_gradients(model)
        adam.step()
        model.project()
        losses.append(loss.item())
    # A unit this close to the kink could fall on the other side in float32.
    assert min(clearance) > 1e-6, f"relu input {min(clearance):g} from its kink: choose another SEED"
    named = dict(model.named_parameters())
    return {"grads": first,
            "params": {n: p.detach() for n, p in named.items()},
            "exp_avg": {n: adam.state[p]["exp_avg"] for n, p in named.items() if p.requires_grad},
            "exp_avg_sq": {n: adam.state[p]["exp_avg_sq"] for n, p in named.items() if p.requires_grad},
            "losses": losses}, model


def float32_drift(wide, narrow):
    """Largest absolute difference when torch repeats the case in float32: what an engine
    in float32 may be expected to show. exp_avg_sq is compared by its square root, which
    has the gradient's scale."""
    def gap(key, f=lambda t: t):
        return max((f(wide[key][n]) - f(narrow[key][n].double())).abs().max().item() for n in wide[key])
    return {"grads": gap("grads"), "params": gap("params"), "exp_avg": gap("exp_avg"),
            "sqrt_exp_avg_sq": gap("exp_avg_sq", torch.sqrt),
            "loss": max(abs(a - b) for a, b in zip(wide["losses"], narrow["losses"]))}


def run_case(index, name, c):
    rng = np.random.RandomState([SEED, index])  # its stream is frozen across numpy versions
    params = initial_parameters(c, rng)
    data = batches(name, c, rng)
    for value in [*params.values(), *(v for b in data for v in b.values())]:
        assert (value == value.astype(np.float32)).all(), "an input is not exact in float32"

    model = build(c, params, torch.float64)
    first = {n: torch.from_numpy(v) for n, v in data[0].items()}
    terms, seen = model(first["x"], first["eps"])
    loss = loss_of(terms, first["weight"])
    loss_of(seen, first["weight"], "ascent").backward()
    grads = named_gradients(model)
    with torch.no_grad():
        check_terms(model, first["x"], first["eps"], terms, seen)
    if "gradient" in c:
        check_path_gradient(model, first["x"], first["eps"], first["weight"], grads)
    else:
        check_directional_derivative(model, first, grads, rng)

    after, trained = train(c, params, data, torch.float64)
    assert after["losses"][0] == loss.item()
    assert all(torch.equal(after["grads"][n], g) for n, g in grads.items())
    with torch.no_grad():
        falls = loss_of(trained(first["x"], first["eps"])[0], first["weight"]).item()
    assert falls < loss.item(), f"{name}: first batch {loss.item()} -> {falls} after training"
    for key in ("params", "exp_avg", "exp_avg_sq"):
        assert all(torch.isfinite(t).all() for t in after[key].values()), (name, key)
    if name.endswith("padded"):
        check_padding_matters(c, params, data, after)

    drift = float32_drift(after, train(c, params, data, torch.float32)[0])
    # Adam divides by the gradient's own size, so an entry whose terms nearly cancel can
    # magnify rounding. The cases are to have none of that.
    most = 5e-5 if c["likelihood"] in LEVELS else 1e-5  # narrow masses are differences
    assert drift["grads"] < most and drift["params"] < most, f"{name}: ill-conditioned: {drift}"
    print(f"{name:36s} loss {loss.item():8.4f} -> {falls:8.4f}  float32: "
          + "  ".join(f"{k} {v:.1e}" for k, v in drift.items()), file=sys.stderr)

    tensors = lambda named: [tensor(n, t, "f64") for n, t in named.items()]
    return {
        "name": name,
        "config": c,
        "params": [tensor(n, p, "f32") for n, p in params.items()],
        "batches": [{n: flat(v) for n, v in b.items()} for b in data],
        "terms": {"dtype": "f64", **{n: flat(t) for n, t in terms.items()}, "loss": loss.item()},
        "grads": tensors(grads),
        "after": {"losses": after["losses"], "params": tensors(after["params"]),
                  "exp_avg": tensors(after["exp_avg"]), "exp_avg_sq": tensors(after["exp_avg_sq"])},
    }


def check_padding_matters(c, params, data, after):
    """A padded batch is the same as the shorter batch at any common weight, and not the same as a full one:
    the case would prove nothing if the weights changed nothing."""
    unweighted = [{**b, "weight": np.ones(BATCH)} for b in data]
    other, _ = train(c, params, unweighted, torch.float64)
    assert abs(other["losses"][-1] - after["losses"][-1]) > 1e-3
    real = [int(b["weight"].sum()) for b in data]
    cut = [{"x": b["x"][:r], "eps": b["eps"][:r * c["k"]], "weight": np.full(r, 2.0)} for b, r in zip(data, real)]
    same, _ = train(c, params, cut, torch.float64)
    assert_close("padded losses", torch.DoubleTensor(same["losses"]), torch.DoubleTensor(after["losses"]))
    for n, p in after["params"].items():
        assert_close("padding rows leak into " + n, same["params"][n], p)


# ---- output -------------------------------------------------------------------------

def flat(t):
    t = t.detach().numpy() if isinstance(t, torch.Tensor) else t
    return t.astype(np.float64).ravel(order="C").tolist()


def tensor(name, t, dtype):
    return {"name": name.replace("_z", ".z"), "shape": list(t.shape), "dtype": dtype, "data": flat(t)}


LINES = {"data", "x", "hidden"}  # an object with one of these keys is one line


def dump(value):
    """JSON with one tensor, batch or term a line, so that a diff names what moved.
    Floats are printed by repr, which reads back to the same float64."""
    def nested(v):
        return isinstance(v, (dict, list))
    children = list(value.values() if isinstance(value, dict) else value) if nested(value) else []
    is_line = isinstance(value, dict) and LINES & value.keys()
    if is_line or not any(nested(v) for v in children):
        return json.dumps(value, separators=(",", ":"), allow_nan=False)
    if isinstance(value, list):
        return "[\n" + ",\n".join(map(dump, value)) + "]"
    return "{\n" + ",\n".join(f"{json.dumps(k)}:{dump(v)}" for k, v in value.items()) + "}"


def main():
    torch.set_num_threads(1)  # the order of sums must not depend on the machine's cores
    torch.use_deterministic_algorithms(True)
    check_log_normaliser()
    name = sys.argv[1]
    cases, start = FILES[name]
    reference = {
        "recipe": "train/testdata/torch/reference.py",
        "torch": str(torch.__version__), "numpy": np.__version__, "python": platform.python_version(),
        "seed": SEED,
        "cases": [run_case(i, name, c) for i, (name, c) in enumerate(cases.items(), start)],
    }
    text = dump(reference) + "\n"
    assert json.loads(text) == reference
    out = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).with_name(name + ".json")
    out.write_text(text, encoding="ascii")


if __name__ == "__main__":
    main()
