"""EM of a mixture of 500 Bernoulli images by JAX: jax_mixture.py --images FILE [--block N]

A jit of one iteration, which scans over blocks; the block has to divide 60 000.
"""
import jax
import jax.numpy as jnp

import work


@jax.jit
def iteration(blocks, mean, log_weight):
    """The next means and weights, and the mean of log p(x) at these ones; blocks is [N/B, B, 784]."""
    log_odds = (jnp.log(mean) - jnp.log1p(-mean)).T
    base = jnp.log1p(-mean).sum(axis=1) + log_weight

    def add(carry, block):
        counts, sums = carry
        joint = block @ log_odds + base
        log_px = jax.nn.logsumexp(joint, axis=1, keepdims=True)
        q = jnp.exp(joint - log_px)
        return (counts + q.sum(axis=0), sums + q.T @ block), log_px.mean()

    (counts, sums), evidence = jax.lax.scan(add, (jnp.zeros(work.COMPONENTS), jnp.zeros_like(mean)), blocks)
    mean = (sums + work.SMOOTHING) / (counts[:, None] + 2 * work.SMOOTHING)
    return mean, jnp.log((counts + 1e-10) / (blocks.shape[0] * blocks.shape[1])), evidence.mean()


def main():
    p = work.arguments(__doc__)
    p.add_argument("--block", type=int, default=4000)
    a = p.parse_args()
    x = jnp.asarray(work.grey(a.images) > 127, jnp.float32)
    chosen, means_of = work.first_means()
    mean, log_weight = means_of(x[chosen]), jnp.full(work.COMPONENTS, -jnp.log(work.COMPONENTS))
    blocks = x.reshape(-1, a.block, work.PIXELS)
    del x

    def iterate():
        nonlocal mean, log_weight
        mean, log_weight, evidence = iteration(blocks, mean, log_weight)
        return float(evidence)  # waits

    figures = work.fit(a.seconds, iterate)
    work.report(figures, mean.size + log_weight.size, f"jax {jax.__version__}, {jax.devices()[0].device_kind}")


main()
