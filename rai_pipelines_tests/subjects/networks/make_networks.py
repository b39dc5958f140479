"""Writes the archives beside this file with PyTorch 2.13 (`make test-torch` installs it): what tests read when PyTorch is not there."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

HERE = Path(__file__).parent


def people(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Income, age and a group, and an outcome that the first two decide with some chance."""
    rng = np.random.default_rng(seed)
    inputs = np.column_stack([rng.normal(50, 12, rows), rng.integers(18, 70, rows), rng.choice([1, 2], rows)])
    chance = 1 / (1 + np.exp(-(inputs[:, 0] - 50) / 4 - (inputs[:, 1] - 44) / 15))
    return inputs, (rng.random(rows) < chance).astype(int)


def trained(network: nn.Module, inputs: np.ndarray, classes: np.ndarray, loss: nn.Module) -> nn.Module:
    x = torch.tensor(inputs, dtype=torch.float32)
    y = torch.tensor(classes, dtype=torch.float32 if isinstance(loss, nn.BCELoss) else torch.int64)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.02)
    network.train()
    for _ in range(300):
        optimiser.zero_grad()
        loss(network(x).squeeze(-1), y).backward()
        optimiser.step()
    return network.eval()


def write(network: nn.Module, name: str, inputs: np.ndarray) -> dict[str, object]:
    x = torch.tensor(inputs, dtype=torch.float32)
    torch.export.save(torch.export.export(network, (x,), dynamic_shapes=({0: torch.export.Dim.AUTO},)), HERE / name)
    without_places(HERE / name)
    with torch.no_grad():
        return {"inputs": inputs.tolist(), "outputs": network(x).tolist()}


def without_places(path: Path) -> None:
    """Nodes remember the folders of the machine that exported them; those are left out here."""
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    graph = next(name for name in records if name.endswith("models/model.json"))
    told = json.loads(records[graph])
    for node in told["graph_module"]["graph"]["nodes"]:
        node["metadata"] = {}
    records[graph] = json.dumps(told).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in records.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)


def main() -> None:
    torch.manual_seed(3)
    inputs, outcome = people(800, 1)
    binary = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 4), nn.Tanh(), nn.Linear(4, 1), nn.Sigmoid())
    levels = np.digitize(inputs[:, 0] + inputs[:, 1] / 4, [55, 66])
    three = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 10), nn.LeakyReLU(0.1), nn.Linear(10, 3))
    shown = inputs[:20]
    answers = {
        "binary.pt2": write(trained(binary, inputs, outcome, nn.BCELoss()), "binary.pt2", shown),
        "three.pt2": write(trained(three, inputs, levels, nn.CrossEntropyLoss()), "three.pt2", shown),
    }
    (HERE / "answers.json").write_text(json.dumps(answers), encoding="utf-8")


if __name__ == "__main__":
    main()
