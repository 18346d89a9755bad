"""EM of a mixture of 500 Bernoulli images by numpy: numpy_mixture.py --images FILE [--block N]

Float32 but for the totals, --block images at a time, in place where numpy can: the two products of
an iteration, and exp, are all that takes long.
"""
import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

import work


def main():
    p = work.arguments(__doc__)
    p.add_argument("--block", type=int, default=4000)
    a = p.parse_args()
    threadpool_limits(a.threads)
    x = (work.grey(a.images) > 127).astype(np.float32)
    chosen, means_of = work.first_means()
    mean, log_weight = means_of(x[chosen]), np.full(work.COMPONENTS, -np.log(work.COMPONENTS), np.float32)
    joint = np.empty((a.block, work.COMPONENTS), np.float32)
    product = np.empty_like(mean)

    def iterate():
        nonlocal mean, log_weight
        log_odds = np.ascontiguousarray((np.log(mean) - np.log1p(-mean)).T)
        base = np.log1p(-mean).sum(axis=1) + log_weight
        counts, sums, evidence = np.zeros(work.COMPONENTS), np.zeros_like(mean), 0.0
        for first in range(0, len(x), a.block):
            block = x[first:first + a.block]
            q = joint[:len(block)]
            np.matmul(block, log_odds, out=q)
            q += base
            top = q.max(axis=1, keepdims=True)
            q -= top
            np.exp(q, out=q)
            total = q.sum(axis=1, keepdims=True)
            evidence += float((top + np.log(total)).sum(dtype=np.float64))
            q /= total
            counts += q.sum(axis=0)
            np.matmul(q.T, block, out=product)
            sums += product
        n = counts[:, None].astype(np.float32)
        mean = (sums + np.float32(work.SMOOTHING)) / (n + np.float32(2 * work.SMOOTHING))
        log_weight = np.log((counts + 1e-10) / len(x)).astype(np.float32)
        return evidence / len(x)

    blas = [f"{i['internal_api']} {i['version']}, {i['architecture']}" for i in threadpool_info() if i["user_api"] == "blas"]
    work.report(work.fit(a.seconds, iterate), mean.size + log_weight.size, f"numpy {np.__version__}, {'; '.join(blas)}")


main()
