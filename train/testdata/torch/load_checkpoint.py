"""Load a VAE checkpoint of elbo into PyTorch: python3 load_checkpoint.py FILE.safetensors"""
import json, struct, sys
import torch
from torch import nn

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "elu": nn.ELU, "softplus": nn.Softplus, "gated": nn.GLU}

def read(path):
    """The metadata, and the tensors by name; data_offsets count from the end of the header."""
    raw = open(path, "rb").read()
    start = 8 + struct.unpack_from("<Q", raw)[0]
    header = json.loads(raw[8:start])
    metadata, tensors = header.pop("__metadata__"), {}
    for name, t in header.items():
        assert t["dtype"] == "F32", f"{path}: {name} is {t['dtype']}, want F32"
        begin, end = (start + offset for offset in t["data_offsets"])
        tensors[name] = torch.frombuffer(bytearray(raw[begin:end]), dtype=torch.float32).reshape(t["shape"])
    return metadata, tensors

def sequential(tensors, part, activation):
    """nn.Sequential(Linear, act, ..., Linear), its sizes taken from part's weights [out, in]."""
    state = {n[len(part) + 1:]: t for n, t in tensors.items() if n.startswith(part + ".")}
    layers = []
    for i in range(0, 2 * sum(n.endswith(".weight") for n in state), 2):
        n_out, n_in = state[f"{i}.weight"].shape
        layers += [nn.Linear(n_in, n_out), ACTIVATIONS[activation]()]
    net = nn.Sequential(*layers[:-1])
    net.load_state_dict(state, strict=True)
    return net

if __name__ == "__main__":
    metadata, tensors = read(sys.argv[1])
    config = json.loads(metadata["elbo.config"])
    if config.get("network") in ("conv", "residual"):
        sys.exit("convolutions: the lines for PyTorch in cmd/elbo/doc/runs.md build them")
    activation = "gated" if config.get("network") == "gated" else config["activation"]
    model = nn.ModuleDict({part: sequential(tensors, part, activation) for part in ("encoder", "decoder")})
    print(sum(p.numel() for p in model.parameters()), "parameters in encoder and decoder")
    for name, p in model.named_parameters():
        print(name, list(p.shape))
