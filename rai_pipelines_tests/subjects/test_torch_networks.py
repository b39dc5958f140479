"""Networks of many shapes against PyTorch itself; runs where PyTorch is (`make test-torch`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rai_pipelines.errors import ModelError
from rai_pipelines.subjects.pt2_archive import read_network

torch = pytest.importorskip("torch", reason="PyTorch is not installed: make test-torch installs it")
pytestmark = pytest.mark.slow
nn = torch.nn


class Scaled(nn.Module):  # type: ignore[misc,name-defined]
    """Standardises its inputs with numbers of its own, as many networks on tables do."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([1.0, -2.0, 0.5]))
        self.register_buffer("spread", torch.tensor([2.0, 1.0, 4.0]))
        self.body = nn.Sequential(nn.Linear(3, 6), nn.Softplus(), nn.Linear(6, 1))

    def forward(self, x: Any) -> Any:
        return torch.sigmoid(self.body((x - self.mean) / self.spread)).squeeze(-1)


NETWORKS = {
    "sequential": lambda: nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 1), nn.Sigmoid()),
    "logits": lambda: nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)),
    "softmax": lambda: nn.Sequential(nn.Linear(3, 8, bias=False), nn.ELU(0.7), nn.Linear(8, 4), nn.Softmax(dim=1)),
    "log softmax": lambda: nn.Sequential(nn.Linear(3, 8), nn.LeakyReLU(0.2), nn.Linear(8, 3), nn.LogSoftmax(dim=-1)),
    "normalised": lambda: nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Hardtanh(-0.5, 2.0), nn.Linear(5, 1)),
    "double": lambda: nn.Sequential(nn.Linear(3, 8), nn.Sigmoid(), nn.Linear(8, 2)),
    "scaled": Scaled,
}


def exported(network: Any, folder: Path) -> Path:
    path = folder / "model.pt2"
    torch.export.save(torch.export.export(network, (torch.zeros(4, 3),), dynamic_shapes=({0: torch.export.Dim.AUTO},)), path)
    return path


@pytest.mark.parametrize("name", NETWORKS)
def test_logits_and_gradients_are_those_of_pytorch(name: str, tmp_path: Path) -> None:
    torch.manual_seed(5)
    network = NETWORKS[name]()
    network.train()
    for _ in range(3):
        network(torch.randn(64, 3) * 2 + 1)  # running statistics
    network.eval()
    read = read_network(exported(network, tmp_path), "m")
    x = torch.randn(200, 3, requires_grad=True)
    out = network(x)
    rows = x.detach().numpy()
    if read.outputs == 1:
        said = out.detach().numpy().ravel()
        ours = read.probabilities(rows)[:, 1] if name in ("sequential", "scaled") else read.logits(rows)[:, 0]
        np.testing.assert_allclose(ours, said, atol=1e-5)
    else:
        plain = out if name in ("logits", "double") else (out.log() if name == "softmax" else out)
        said = plain.detach().numpy()
        difference = read.logits(rows) - said  # logits are known up to a number for each row
        np.testing.assert_allclose(difference - difference.mean(axis=1, keepdims=True), 0, atol=1e-4)
        np.testing.assert_array_equal(read.decisions(rows), said.argmax(axis=1))
    loss = torch.nn.functional.binary_cross_entropy(
        torch.sigmoid(torch.logit(out.reshape(len(x), -1)[:, 0], 1e-12)), torch.ones(len(x)), reduction="sum"
    )
    if read.outputs > 1:
        loss = torch.nn.functional.nll_loss(plain.log_softmax(dim=1), torch.ones(len(x), dtype=torch.int64), reduction="sum")
    elif name == "normalised":
        loss = torch.nn.functional.binary_cross_entropy_with_logits(out[:, 0], torch.ones(len(x)), reduction="sum")
    (theirs,) = torch.autograd.grad(loss, x)
    wanted = np.eye(read.classes)[np.ones(len(rows), dtype=int)]
    along = read.probabilities(rows) - wanted
    ours = read.pulled_back(rows, along[:, 1:] if read.outputs == 1 else along)
    np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-4)


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (lambda: nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.Linear(4, 1)), "gelu"),
        (lambda: nn.Sequential(nn.Unflatten(1, (1, 3)), nn.Conv1d(1, 2, 2), nn.Flatten(), nn.Linear(4, 1)), "operation"),
        (lambda: nn.Sequential(nn.Linear(3, 4), nn.Sigmoid()), "over 4 outputs"),
    ],
    ids=["gelu", "convolution", "four sigmoids"],
)
def test_networks_that_are_no_chain_of_known_layers_are_refused(network: Any, reason: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=reason):
        read_network(exported(network().eval(), tmp_path), "m")


def test_a_network_with_a_shortcut_is_refused(tmp_path: Path) -> None:
    class Shortcut(nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(3, 3), nn.Linear(3, 1)

        def forward(self, x: Any) -> Any:
            return self.last(torch.relu(self.first(x)) + x)

    with pytest.raises(ModelError, match=r"add\.Tensor"):
        read_network(exported(Shortcut().eval(), tmp_path), "m")


@pytest.mark.parametrize("name", ["fast_gradient", "gradient"])
def test_attacks_move_rows_as_the_toolbox_does_with_its_own_pytorch_classifier(name: str, tmp_path: Path) -> None:
    from art.attacks.evasion import FastGradientMethod, ProjectedGradientDescentNumpy
    from art.estimators.classification import PyTorchClassifier

    from rai_pipelines.assessments.security.feature_space import Feature, FeatureSpace
    from rai_pipelines.assessments.security.networks import along_gradient, network_view

    torch.manual_seed(5)
    network = NETWORKS["logits"]().eval()
    read = read_network(exported(network, tmp_path), "m")
    free = FeatureSpace(tuple(Feature(one, -9.0, 9.0, 1.0, False, None, True) for one in "abc"), ("a", "b", "c"))
    rows = np.random.default_rng(2).normal(size=(40, 3))
    ours = along_gradient(name, network_view(read, free, np.asarray), free, rows, epsilon=0.5, steps=7, seed=1)
    theirs = PyTorchClassifier(network, torch.nn.CrossEntropyLoss(), (3,), 2)
    attacks = {
        "fast_gradient": lambda: FastGradientMethod(theirs, norm=2, eps=0.5, eps_step=0.5, batch_size=40),
        "gradient": lambda: ProjectedGradientDescentNumpy(
            theirs, norm=2, eps=0.5, eps_step=0.125, max_iter=7, num_random_init=0, batch_size=40, verbose=False
        ),
    }
    labels = np.eye(2, dtype=np.float32)[read.decisions(rows)]
    np.testing.assert_allclose(ours, attacks[name]().generate(rows.astype(np.float32), labels), atol=1e-4)
