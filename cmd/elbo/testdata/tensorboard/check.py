"""Event files of elbo in TensorBoard: python3 check.py --elbo ./elbo

A small VAE is trained with --tensorboard, resumed for more epochs, and resumed again from an earlier
checkpoint; a mixture is fitted with two restarts. TensorBoard's own reader then has to find, for every
line of metrics.jsonl and every number in it, that number (as float32) at that step, and nothing else;
and the pictures of the run, byte for byte. Then TensorBoard itself is started on the same files, and
what it serves to its page is held against them once more.
Ends with 1 if anything differs.
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

TRAIN = ["train", "--limit", "2000", "--hidden", "20", "--latent", "2"]


def numbers(line, way=()):
    for key, value in line.items():
        if isinstance(value, dict):
            yield from numbers(value, way + (key,))
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and way + (key,) != ("step",):
            yield "/".join(way + (key,)), float(np.float32(value))


def wanted(run):
    """{tag: [(step, value)]} by metrics.jsonl."""
    tags = {}
    for text in pathlib.Path(run, "metrics.jsonl").read_text().splitlines():
        line = json.loads(text)
        for tag, value in numbers(line):
            tags.setdefault(tag, []).append((line["step"], value))
    return tags


def check(what, got, want):
    if got != want:
        print(f"{what}: TensorBoard has\n{got}\nwant\n{want}")
        sys.exit(1)


def check_read(run, events, pictures):
    read = EventAccumulator(str(events), size_guidance={"scalars": 0, "images": 0})
    read.Reload()
    want = wanted(run)
    check(f"{events}: tags", sorted(read.Tags()["scalars"]), sorted(want))
    for tag, values in want.items():
        check(f"{events}: {tag}", [(e.step, e.value) for e in read.Scalars(tag)], values)
    for tag, name in pictures.items():
        last = read.Images(tag)[-1]
        content = pathlib.Path(run, name).read_bytes()
        width, height = (int.from_bytes(content[at:at + 4], "big") for at in (16, 20))
        check(f"{events}: {tag}", (last.encoded_image_string == content, last.width, last.height), (True, width, height))
    count = sum(len(v) for v in want.values())
    print(f"{events}: {count} numbers under {len(want)} tags, {len(pictures)} pictures, as in {run}")


def served(base, path, query="", **more):
    with urllib.request.urlopen(f"{base}/{path}?{query}{urllib.parse.urlencode(more)}", timeout=30) as answer:
        return answer.read()


def check_served(logs, runs):
    """runs: {TensorBoard's name: (run directory, pictures)}."""
    board = subprocess.Popen([sys.executable, "-m", "tensorboard.main", "--logdir", logs, "--port", "0", "--host", "127.0.0.1", "--samples_per_plugin", "scalars=1000"],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        base = None
        for line in board.stdout:
            if found := re.search(r"(http://127\.0\.0\.1:\d+)", line):
                base = found.group(1)
                break
        if base is None:
            print("TensorBoard did not start")
            sys.exit(1)
        for name, (run, pictures) in runs.items():
            for _ in range(60):  # it reads its files by and by
                tags = json.loads(served(base, "data/plugin/scalars/tags")).get(name, {})
                images = json.loads(served(base, "data/plugin/images/tags")).get(name, {})
                if set(tags) >= set(wanted(run)) and set(images) >= set(pictures):
                    break
                time.sleep(1)
            for tag, values in wanted(run).items():
                got = [(step, float(np.float32(value))) for _, step, value in json.loads(served(base, "data/plugin/scalars/scalars", run=name, tag=tag))]
                check(f"served of {name}: {tag}", got, values)
            for tag, file in pictures.items():
                last = json.loads(served(base, "data/plugin/images/images", run=name, tag=tag, sample=0))[-1]
                check(f"served of {name}: {tag}", served(base, "data/plugin/images/individualImage", last["query"]) == pathlib.Path(run, file).read_bytes(), True)
            print(f"served of {name}: the same")
    finally:
        board.terminate()
        board.wait()


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--elbo", default="./elbo")
    arguments.add_argument("--keep", help="a new directory for the runs")
    arguments = arguments.parse_args()
    program = os.path.abspath(arguments.elbo)

    def elbo(*args):
        result = subprocess.run([program, *args], capture_output=True, text=True)
        if result.returncode:
            print(f"elbo {' '.join(args)}: exit code {result.returncode}\n{result.stderr}")
            sys.exit(1)

    with tempfile.TemporaryDirectory() as directory:
        if arguments.keep:
            directory = arguments.keep
            os.makedirs(directory)
        vae, mixture = f"{directory}/vae", f"{directory}/mixture"
        pictures = {"final/samples": "samples.png", "final/reconstructions": "reconstructions.png"}
        elbo(*TRAIN, "--epochs", "3", "--out", vae, "--tensorboard")
        elbo("resume", vae, "--epochs", "6")
        check_read(vae, f"{vae}/tensorboard", pictures)
        for newest in sorted(pathlib.Path(vae).glob("checkpoint-*"))[1:]:  # so that it goes back to epoch 4
            newest.unlink()
        elbo("resume", vae, "--epochs", "7")
        check_read(vae, f"{vae}/tensorboard", pictures)
        elbo("train", "--model", "mixture", "--limit", "1000", "--components", "5", "--restarts", "2", "--epochs", "6", "--tolerance", "0", "--out", mixture, "--tensorboard")
        check_read(mixture, f"{mixture}/tensorboard", pictures)
        for restart in ("restart-1", "restart-2"):
            check_read(f"{mixture}/{restart}", f"{mixture}/tensorboard/{restart}", {})
        check_served(directory, {
            "vae/tensorboard": (vae, pictures),
            "mixture/tensorboard": (mixture, pictures),
            "mixture/tensorboard/restart-1": (f"{mixture}/restart-1", {}),
        })


main()
