"""EM of a mixture of 500 Bernoulli images by PyTorch: torch_mixture.py --images FILE [--block N]"""
import torch

import work


@torch.inference_mode()
def main():
    p = work.arguments(__doc__)
    p.add_argument("--block", type=int, default=4000)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    x = torch.from_numpy(work.grey(a.images) > 127).float()
    chosen, means_of = work.first_means()
    mean, log_weight = torch.from_numpy(means_of(x[chosen].numpy())), -torch.full((work.COMPONENTS,), work.COMPONENTS).log()
    joint = torch.empty(a.block, work.COMPONENTS)

    def iterate():
        nonlocal mean, log_weight
        log_odds = (mean.log() - torch.log1p(-mean)).T.contiguous()
        base = torch.log1p(-mean).sum(dim=1) + log_weight
        counts, sums = torch.zeros(work.COMPONENTS, dtype=torch.float64), torch.zeros_like(mean)
        evidence = torch.zeros((), dtype=torch.float64)
        for block in x.split(a.block):
            q = torch.addmm(base, block, log_odds, out=joint[:len(block)])
            log_px = q.logsumexp(dim=1, keepdim=True)
            evidence += log_px.sum(dtype=torch.float64)
            q.sub_(log_px).exp_()
            counts += q.sum(dim=0)
            sums.addmm_(q.T, block)
        mean = (sums + work.SMOOTHING) / (counts[:, None].float() + 2 * work.SMOOTHING)
        log_weight = ((counts + 1e-10) / len(x)).log().float()
        return evidence.item() / len(x)

    figures = work.fit(a.seconds, iterate)
    work.report(figures, mean.numel() + log_weight.numel(), f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}")


main()
