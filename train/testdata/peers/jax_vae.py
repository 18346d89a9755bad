"""A VAE of `elbo bench`, trained by JAX on the CPU: jax_vae.py vae|deep|conv --images FILE [--scan]

A jit of one whole step: gather, binarise, loss, gradient, Adam. With --scan it is 50 steps by
lax.scan. Images are on the device as small as they can be, their order comes from the host,
parameters and moments are donated, and random bits come from the fastest generator. Model and
loss are those of torch_vae.py, the first weights PyTorch's, U(-1/sqrt(in), 1/sqrt(in)), or with
convolutions elbo's.

The scan uses as many threads as the process has CPUs; --threads is for the driver, which
sees to that.
"""
import functools

import jax
import jax.numpy as jnp
import numpy as np

import work

SCANNED = 50
ACTIVATIONS = {"relu": jax.nn.relu, "tanh": jnp.tanh}
DECAY, DECAY_OF_SQUARES, EPSILON = 0.9, 0.999, 1e-8  # Adam's


MAPS = ("NHWC", "HWIO", "NHWC")


def layers(sizes, rng, last=None):
    """Weights [in, out] and biases; of a net with convolutions last says whether nothing follows."""
    if last is not None:
        return [weights((inputs, outputs), inputs, last and i == len(sizes) - 2, rng) for i, (inputs, outputs) in enumerate(zip(sizes, sizes[1:]))]
    return [tuple(jnp.asarray(rng.uniform(-1, 1, shape) / np.sqrt(inputs), jnp.float32) for shape in [(inputs, outputs), (outputs,)])
            for inputs, outputs in zip(sizes, sizes[1:])]


def weights(shape, summands, last, rng):
    """Weights of that shape and biases of 0."""
    return jnp.asarray(rng.uniform(-1, 1, shape) * work.bound(summands, last), jnp.float32), jnp.zeros(shape[-1])


def convolutions(c, rng):
    """Convolutions down from the image, and up to it; kernels [3, 3, in, out]."""
    pairs = list(zip(c.channels(), c.channels()[1:]))
    return ([weights((3, 3, fine, coarse), 9 * fine, False, rng) for fine, coarse in pairs],
            [weights((3, 3, coarse, fine), 9 * coarse / 4, i == 0, rng) for i, (fine, coarse) in enumerate(pairs)][::-1])


def encode(parameters, c, x):
    if not c.maps:
        return network(parameters, c.activation, x)
    maps, dense = parameters
    x = x.reshape(-1, work.SIDE, work.SIDE, 1)
    for weight, bias in maps:
        x = jax.lax.conv_general_dilated(x, weight, (2, 2), [(1, 1), (1, 1)], dimension_numbers=MAPS) + bias
        x = ACTIVATIONS[c.activation](x)
    return network(dense, c.activation, x.reshape(len(x), -1))


def decode(parameters, c, z):
    if not c.maps:
        return network(parameters, c.activation, z)
    maps, dense = parameters
    x = network(dense, c.activation, z).reshape(-1, c.side(), c.side(), c.maps[-1])
    for weight, bias in maps:
        x = ACTIVATIONS[c.activation](x)
        x = jax.lax.conv_general_dilated(x, weight, (1, 1), [(1, 2), (1, 2)], lhs_dilation=(2, 2), dimension_numbers=MAPS) + bias
    return x.reshape(len(x), -1)


def network(parameters, activation, x):
    for weight, bias in parameters[:-1]:
        x = ACTIVATIONS[activation](x @ weight + bias)
    weight, bias = parameters[-1]
    return x @ weight + bias


def minus_elbo(parameters, c, x, noise):
    """Nats per image."""
    encoder, decoder = parameters
    mu, log_var = jnp.split(encode(encoder, c, x), 2, axis=1)
    logits = decode(decoder, c, mu + jnp.exp(log_var / 2) * noise)
    recon = jnp.sum(jax.nn.softplus(logits) - logits * x)
    divergence = jnp.sum(mu * mu + jnp.exp(log_var) - log_var - 1) / 2
    return (recon + divergence) / len(x)


def step(c, source, state, rows):
    """One step of Adam on the images of these rows; returns the new state and the loss."""
    parameters, first, second, count, key = state
    key, key_noise, key_pixels = jax.random.split(key, 3)
    x = source[rows]
    if c.binarise == "dynamic":  # probabilities in units of 2^-16
        x = jax.random.bits(key_pixels, x.shape, jnp.uint16) < x
    x = x.astype(jnp.float32)
    noise = jax.random.normal(key_noise, (c.batch, c.latent))
    loss, gradient = jax.value_and_grad(minus_elbo)(parameters, c, x, noise)
    count += 1
    first = jax.tree.map(lambda m, g: DECAY * m + (1 - DECAY) * g, first, gradient)
    second = jax.tree.map(lambda v, g: DECAY_OF_SQUARES * v + (1 - DECAY_OF_SQUARES) * g * g, second, gradient)
    rate, unbias = c.rate / (1 - DECAY ** count), 1 / (1 - DECAY_OF_SQUARES ** count)
    parameters = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v * unbias) + EPSILON), parameters, first, second)
    return (parameters, first, second, count, key), loss


def main():
    p = work.arguments(__doc__, work.VAES)
    p.add_argument("--scan", action="store_true")
    a = p.parse_args()
    c = work.VAES[a.work]
    rng = np.random.default_rng(1)
    grey = work.grey(a.images)
    source = jnp.asarray(grey.astype(np.uint16) * 257 if c.binarise == "dynamic" else (grey > 127).astype(np.uint8))
    if c.maps:
        down, up = convolutions(c, rng)
        parameters = ((down, layers(c.encoder(), rng, True)), (up, layers(c.decoder(), rng, False)))
    else:
        parameters = (layers(c.encoder(), rng), layers(c.decoder(), rng))
    zeros = functools.partial(jax.tree.map, jnp.zeros_like)
    state = (parameters, zeros(parameters), zeros(parameters), jnp.float32(0), jax.random.key(1, impl="unsafe_rbg"))
    size = sum(leaf.size for leaf in jax.tree.leaves(parameters))

    @functools.partial(jax.jit, donate_argnums=(1, 2))
    def some(source, state, total, rows):
        if not a.scan:
            state, loss = step(c, source, state, rows)
            return state, total + loss
        state, losses = jax.lax.scan(functools.partial(step, c, source), state, rows)
        return state, total + losses.sum()

    total, steps = jnp.float32(0), 0

    def passes(n):
        whole = n // c.batch
        rows = rng.permutation(n).astype(np.int32)[:whole * c.batch].reshape(whole, c.batch)
        if a.scan:
            rows = rows[:whole // SCANNED * SCANNED].reshape(-1, SCANNED, c.batch)
        return iter(rows)

    def advance(batches):
        nonlocal state, total, steps
        rows = next(batches, None)
        if rows is None:
            return 0
        state, total = some(source, state, total, rows)
        if a.scan:
            total.block_until_ready()  # or the window would end long after its time
        steps += rows.size // c.batch
        return rows.size

    def finish():
        nonlocal total, steps
        mean = float(total) / steps  # waits
        total, steps = jnp.float32(0), 0
        return mean

    work.report(work.train(a.seconds, passes, advance, finish), size, f"jax {jax.__version__}, {jax.devices()[0].device_kind}")


main()
