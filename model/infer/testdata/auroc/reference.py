"""Areas under ROC curves by scikit-learn, and their standard errors by DeLong's formula, to hold elbo's against.

    python3 -m venv venv && venv/bin/pip install numpy scikit-learn
    venv/bin/python reference.py > reference.json

The scores are whole numbers over 8, so that some are equal and all are exact. DeLong's variance is written out over
all pairs, as in the paper (DeLong, DeLong and Clarke-Pearson 1988, equations 4 to 7).
"""
import json
import platform

import numpy as np
import sklearn
from sklearn.metrics import roc_auc_score


def delong(x, y):
    kernel = (x[:, None] > y[None, :]) + 0.5 * (x[:, None] == y[None, :])
    return float(np.sqrt(kernel.mean(1).var(ddof=1) / len(x) + kernel.mean(0).var(ddof=1) / len(y)))


rng = np.random.RandomState(12)  # its stream is frozen across numpy versions
cases = []
for m, n, shift, width in [(40, 30, 0.5, 1.0), (25, 60, -1.5, 2.0), (50, 50, 2.5, 1.0), (7, 5, 0.0, 1.0)]:
    x = np.round(8 * (rng.randn(m) + shift)) / 8
    y = np.round(8 * width * rng.randn(n)) / 8
    truth = np.r_[np.ones(m), np.zeros(n)]
    cases.append({"x": x.tolist(), "y": y.tolist(), "auroc": float(roc_auc_score(truth, np.r_[x, y])), "se": delong(x, y)})
print(json.dumps({
    "recipe": "model/infer/testdata/auroc/reference.py", "python": platform.python_version(), "numpy": np.__version__,
    "scikit-learn": sklearn.__version__, "cases": cases,
}, indent=1))
