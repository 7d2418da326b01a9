"""GainLoRA: a LoRA per task behind a gate that stays shut for earlier tasks (Liang & Li 2025).

h = W0 x + sum_i a_i f_i. A prompt's mean input embedding decides a_i, one number for all layers
(`mixture/gates.py`). A new gate starts as a copy of the one before it, but for its last layer: that
is orthogonal to what it is given for earlier tasks' prompts, so the gate is shut for them. While it
learns, each layer moves orthogonally to what it is given for them, so that it stays shut
(arXiv 2505.15424). Earlier LoRAs and gates are frozen. The LoRAs are InfLoRA's.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from pydantic import PositiveFloat
from torch import Tensor

from amlora.engine.backbone import Backbone
from amlora.engine.batch import Batch
from amlora.engine.encode import Row
from amlora.engine.route import vector_of
from amlora.errors import InputError
from amlora.methods.base import ParameterGroup, Stage, State, Terms
from amlora.methods.inf_lora import InfLoRA, InfLoRASettings
from amlora.methods.lora import SharePerTask, number_of
from amlora.methods.parts.subspace import Quantity, extended, leading
from amlora.mixture.gates import PARTS, STEEPNESS, Gate, Gates, GateSettings, started
from amlora.mixture.mixture import generator_of


class GainLoRASettings(InfLoRASettings):
    """InfLoRA's settings, the gates, and how much of old prompts they must not move for."""

    gate: GateSettings = GateSettings()
    """The form of the gates; the width is that of the authors' scripts (`mlp_hidden_dim`)."""
    gate_threshold: SharePerTask = 0.995
    """How much of what a task's prompts give each of a gate's layers later gates must not react
    to, one number or one per task; that of the authors' scripts (`transthreshold`)."""
    gate_threshold_of: Quantity = "moments"
    """What `gate_threshold` is a share of, as `threshold_of`: the squares of second moments, as in
    the authors' code, or those of what the layers are given."""
    gate_lr: PositiveFloat | None = None
    """The gates' learning rate; None for that of the LoRAs, as in the authors' scripts
    (`attn_lr` 0)."""


class GainLoRA(InfLoRA):
    """LoRAs summed at the strength that a prompt's gates say."""

    version = 2  # 1 had gate_threshold_of "inputs", rows of A and, in the cosine, g3 of length 1
    Settings = GainLoRASettings
    settings: GainLoRASettings
    per_task = ("threshold", "gate_threshold")

    def __init__(self, backbone: Backbone, settings: GainLoRASettings, *, seed: int) -> None:
        super().__init__(backbone, settings, seed=seed)
        self.gates = self.mixture.gates = Gates(self.settings.gate)
        width = backbone.model.get_input_embeddings().get_parameter("weight").shape[1]
        inputs = zip(PARTS, (width, self.settings.gate.width, width), strict=True)
        # For each layer of a gate, (inputs, K) orthonormal columns: the directions that earlier
        # tasks' prompts use.
        self.gate_basis = {
            name: torch.zeros(size, 0, device=backbone.model.device) for name, size in inputs
        }
        wanted = {name: (len(basis), None) for name, basis in self.gate_basis.items()}
        self.keep_tensors("gate_basis", lambda: wanted)

    def begin(self, stage: Stage) -> None:
        """Add this task's gate, shut for all prompts, then its LoRA; open the gate for its own."""
        vectors = self.vectors(stage.rows)
        width, device = vectors.shape[1], vectors.device
        if len(self.gates):
            g1, g2, _ = self.gates.all[-1].parts()
        else:
            generator = generator_of(self.seed, "gates", 0)
            first = started(width, self.settings.gate.width, generator)
            g1, g2 = (part.to(device) for part in first)
        gate = self.gates.add(g1, g2, vectors.new_zeros(width))
        super().begin(stage)
        self.point(gate, vectors)

    @torch.no_grad()
    def point(self, gate: Gate, vectors: Tensor) -> None:
        """Point a gate's last layer where its task's prompts lead most, outside what is kept.

        Where they lead nowhere else it stays 0, and the gate shut for ever.

        Args:
            gate: with its last layer at 0.
            vectors: (rows, D) of its task's prompts.
        """
        p2 = gate.features(vectors)[2]
        directions = leading(moments_of(p2), self.gate_basis["g3"])[0]
        if directions.shape[1]:
            # In the cosine the length decides how fast a gate turns: the root mean square of that
            # of a vector uniform in -1..1, as in the authors' code. The dot product is made as
            # steep as the cosine is for prompts of usual length.
            usual = p2.square().sum(1).mean().sqrt()
            length = STEEPNESS / usual if gate.score == "linear" else math.sqrt(p2.shape[1] / 3)
            gate.g3.copy_(directions[:, 0]).mul_(length)

    def open(self, stage: Stage) -> None:
        """Let the newest LoRA's B and its gate learn."""
        super().open(stage)
        self.gates.all[-1].requires_grad_(True)

    def parameters(self) -> list[ParameterGroup]:
        """Return the newest LoRA's B of every layer, and the newest gate."""
        gate = ParameterGroup("gate", self.gates.all[-1].parts(), self.settings.gate_lr)
        return [*super().parameters(), gate]

    def vectors(self, rows: Sequence[Row]) -> Tensor:
        """Return (rows, D) what the gates read: the mean input embedding of each row's prompt."""
        return torch.stack([vector_of(self.backbone, row.prompt_ids) for row in rows])

    def readable(self, rows: Sequence[Row], *, scoring: bool) -> Sequence[Row]:
        """Give rows that are scored the gates of their prompts; others learn theirs in `loss`."""
        if not scoring:
            return rows
        return [
            replace(row, route=self.gates.route(vector_of(self.backbone, row.prompt_ids)))
            for row in rows
        ]

    def loss(self, batch: Batch) -> Terms:
        """Return the task's loss with every LoRA behind its gate.

        The gates stay in place for the backward pass, which may compute layers again.
        """
        self.backbone.routing.now = self.gates.values(self.vectors(batch.rows))
        return super().loss(batch)

    def before_update(self, stage: Stage, step: int) -> None:
        """Take the gates away: the step's backward passes are done."""
        self.backbone.routing.now = None

    @torch.no_grad()
    def after_step(self, stage: Stage, step: int, lr: dict[str, float]) -> None:
        """Take back what a move changed for the prompts of earlier tasks."""
        if len(self.gates) > 1:
            before, now = self.gates.all[-2], self.gates.all[-1]
            starts = (before.g1, before.g2, torch.zeros_like(now.g3))
            bases = self.gate_basis.values()
            for part, start, basis in zip(now.parts(), starts, bases, strict=True):
                part -= (part - start) @ basis @ basis.T

    def end(self, stage: Stage) -> None:
        """Freeze, and keep what the task's prompts give the layers of its gate."""
        gate = self.gates.all[-1].requires_grad_(False)
        super().end(stage)
        share = number_of(self.settings.gate_threshold, stage.index)
        of = self.settings.gate_threshold_of
        features = gate.features(self.vectors(stage.rows))
        self.gate_basis = {
            name: extended(basis, moments_of(inputs), share, of).to(basis)
            for (name, basis), inputs in zip(self.gate_basis.items(), features, strict=True)
        }

    def stored_parameters(self) -> int:
        """Return the size of all LoRAs and gates."""
        gates = sum(part.numel() for gate in self.gates.all for part in gate.parts())
        return super().stored_parameters() + gates

    def restore(self, state: State) -> None:
        """Take everything back; InputError where the gates read another model's prompts."""
        super().restore(state)
        width = len(self.gate_basis["g1"])
        if len(self.gates) and self.gates.width != width:
            raise InputError(f"gates.0.g3: width {self.gates.width}, expected {width}.")
        for gate in self.gates.all:
            gate.to(self.backbone.model.device)


def moments_of(inputs: Tensor) -> Tensor:
    """Return (D, D) float64 second moments of inputs (rows, D)."""
    x = inputs.detach().double().cpu()
    return x.T @ x / len(x)
