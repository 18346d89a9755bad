"""NMI, ARI and purity of some labellings by scikit-learn, as reference.json beside this file."""
import json
import pathlib

import numpy as np
import sklearn
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix

rng = np.random.default_rng(12)
labels = rng.integers(0, 10, 300)
noisy = np.where(rng.random(300) < 0.3, rng.integers(0, 20, 300), labels * 2 + rng.integers(0, 2, 300))
cases = {
    "states that know something": (noisy, labels),
    "states that know nothing": (rng.integers(0, 20, 300), labels),
    "the labels under other names": ((labels * 7 + 3) % 10, labels),
    "one state": (np.zeros(300, int), labels),
    "one label": (noisy, np.zeros(300, int)),
    "one state and one label": (np.zeros(5, int), np.zeros(5, int)),
    "a state for each image": (np.arange(40), labels[:40]),
    "worse than chance": (np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])),
    "labels far apart": (np.array([5, 5, 900, 900, 900]), np.array([0, 200, 200, 200, 255])),
}
written = []
for name, (states, truth) in cases.items():
    written.append({
        "name": name,
        "states": states.tolist(),
        "labels": truth.tolist(),
        "nmi": float(normalized_mutual_info_score(truth, states)),
        "ari": float(adjusted_rand_score(truth, states)),
        "purity": float(contingency_matrix(truth, states).max(axis=0).sum() / len(truth)),
    })
text = json.dumps({"scikit-learn": sklearn.__version__, "cases": written}, separators=(",", ":")).replace('{"name"', '\n{"name"')
pathlib.Path(__file__).with_name("reference.json").write_text(text + "\n")
