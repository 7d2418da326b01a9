"""All LoRAs of one adapted layer, stacked row by row, with their selectors.

The stacks `a`, `b` and `w` are buffers that hold every LoRA, frozen ones first. What is trained is
a tail of each, as a parameter that shares the stack's memory: the optimiser writes into the stack,
and the forward pass reads one contiguous matrix whether a LoRA is frozen, trained or loaded.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from amlora.mixture import arrow
from amlora.mixture.fused import LoRAs, Stacks, own_products

Trained = Literal["all", "new", "none"]
"""Which selectors learn: all of them (AR in the paper's figure 5), the newest (NR), or none."""
Start = Literal["zeros", "uniform"]
"""A selector's start: zeros, or uniform in +-1/sqrt(D_out)."""

LEAST_SCALE, LARGEST_SCALE = 1e-6, 1e6
"""Of alpha / rank: beyond them a LoRA does nothing, or its answers are no numbers."""


def check_scale(alpha: float, rank: int) -> None:
    """Refuse an alpha that no LoRA of this rank can be used at, by a ValueError."""
    if not LEAST_SCALE <= alpha / rank <= LARGEST_SCALE:
        raise ValueError(
            f"alpha / rank must be between {LEAST_SCALE:g} and {LARGEST_SCALE:g}, got alpha {alpha}"
            f" and rank {rank}."
        )


class Teams(NamedTuple):
    """All stages together, for rows of different stages; see `blend.add`."""

    loras: LoRAs
    """The oldest N' LoRAs, frozen: those up to the last one that a stage has."""
    members: Tensor
    """(1 + S, N') 1 where a LoRA is in a stage's team, else 0; row 0 is stage 0, which has none."""
    pulls: Tensor
    """(1 + S, K') each stage's kept selectors times its team's rows of b, 0 at other rows."""


class Bank(nn.Module):
    """Shapes: a (K, D_in), b (K, D_out), w (N, D_out).

    A stage is answered by a team of LoRAs. Where selectors are kept, `kept` (.., D_out) has those
    of stage 1's team, then those of stage 2's, and so on.
    """

    a: Tensor
    b: Tensor
    w: Tensor
    kept: Tensor

    def __init__(self, d_in: int, d_out: int, device: torch.device) -> None:
        super().__init__()
        self.ranks: list[int] = []
        self.alphas: list[float] = []
        self.teams: list[tuple[int, ...]] = []  # see `team`
        self.trained: tuple[int, int] | None = None  # (rows, selectors) in the tails
        empty = {"a": (0, d_in), "b": (0, d_out), "w": (0, d_out), "kept": (0, d_out)}
        for name, shape in empty.items():
            self.register_buffer(name, torch.zeros(shape, device=device))
        self.freeze()

    def __len__(self) -> int:
        """Return N, the number of LoRAs."""
        return len(self.ranks)

    def grow(self, rank: int, alpha: float, start: Start, generator: torch.Generator) -> None:
        """Append one LoRA: A uniform in +-1/sqrt(D_in) as in LoRA's own code, B 0, and a selector.

        Its output is scaled by alpha / rank. The generator is the CPU's, so that devices agree.
        """
        d_in, d_out = self.a.shape[1], self.b.shape[1]
        a = (2 * torch.rand(rank, d_in, generator=generator) - 1) / math.sqrt(d_in)
        w = torch.zeros(1, d_out)
        if start == "uniform":
            w = (2 * torch.rand(1, d_out, generator=generator) - 1) / math.sqrt(d_out)
        self.extend(a, torch.zeros(rank, d_out), w[0], alpha)

    def extend(self, a: Tensor, b: Tensor, w: Tensor, alpha: float) -> None:
        """Append a frozen LoRA with given a (R, D_in), b (R, D_out) and selector w (D_out)."""
        a, b, w = (
            torch.cat([stack, new.to(stack)])
            for stack, new in zip(self.stacks(), (a, b, w[None]), strict=True)
        )
        self.set([*self.ranks, len(a) - len(self.a)], [*self.alphas, alpha], (a, b, w))

    def set(
        self,
        ranks: list[int],
        alphas: list[float],
        stacks: Stacks,
        kept: Tensor | None = None,
        teams: Sequence[tuple[int, ...]] | None = None,
    ) -> None:
        """Replace everything by frozen LoRAs with the given stacks.

        What is None is left: `kept`, and `teams`, the places of each stage's LoRAs.
        """
        self.freeze()
        self.ranks, self.alphas = list(ranks), list(alphas)
        # A copy: the tails write into the stacks, which must not be anyone else's memory.
        self.a, self.b, self.w = (
            new.to(old, copy=True) for new, old in zip(stacks, self.stacks(), strict=True)
        )
        if kept is not None:
            self.kept = kept.to(self.kept, copy=True)
        if teams is not None:
            self.teams = list(teams)

    def keep(self) -> None:
        """Keep the selectors as they are now: those of the stage that has just ended."""
        assert not self.teams, "a stage that learns here is answered by all LoRAs so far"
        self.kept = torch.cat([self.kept, self.w])
        self.forget()

    def team(self, stage: int) -> tuple[int, ...]:
        """Return the places of stage k's LoRAs; where no teams are set, of the oldest k."""
        return self.teams[stage - 1] if self.teams else tuple(range(stage))

    def kept_of(self, stage: int) -> Tensor:
        """Return the (n, D_out) selectors of stage k's team of n, in memory of their own.

        At another alignment a product may round otherwise than it did when the stage ended.
        """
        first = sum(len(self.team(earlier)) for earlier in range(1, stage))
        return self.kept[first : first + len(self.team(stage))].clone()

    @property
    def spread(self) -> Tensor:
        """(N, K) scale_i at LoRA i's rows, else 0; in the stacks' dtype and on their device."""
        if self.laid is None:
            self.laid = self.spread_of(range(len(self)))
        return self.laid

    def spread_of(self, places: Sequence[int]) -> Tensor:
        """Return the spread (n, rows) of some LoRAs alone."""
        # What is made in inference mode could not serve a later backward pass.
        with torch.inference_mode(False), torch.no_grad():
            spread = self.a.new_zeros(len(places), sum(self.ranks[place] for place in places))
            first = 0
            for index, place in enumerate(places):
                last = first + self.ranks[place]
                spread[index, first:last] = self.alphas[place] / self.ranks[place]
                first = last
        return spread

    def forget(self) -> None:
        """Drop what was made of the stacks; it is made again when it is next asked for."""
        self.laid: Tensor | None = None  # the spread
        self.wanted: Tensor | None = None  # prototypes
        self.alone: dict[int, LoRAs] = {}  # by stage
        self.all: Teams | None = None

    def train_newest(self, selectors: Trained) -> None:
        """Make the newest LoRA trainable, with all selectors, its own, or none."""
        self._cut(self.ranks[-1], {"all": len(self), "new": 1, "none": 0}[selectors])

    def freeze(self) -> None:
        """Make every LoRA and every selector frozen."""
        self.trained = None
        self.forget()
        self.a_tail: nn.Parameter | None = None
        self.b_tail: nn.Parameter | None = None
        self.w_tail: nn.Parameter | None = None

    def _cut(self, rows: int, selectors: int) -> None:
        """Point the trained tails at the ends of the stacks."""
        self.freeze()
        self.trained = rows, selectors
        self.a_tail = nn.Parameter(self.a[len(self.a) - rows :])
        self.b_tail = nn.Parameter(self.b[len(self.b) - rows :])
        if selectors:
            self.w_tail = nn.Parameter(self.w[len(self.w) - selectors :])

    def tails(self) -> Stacks:
        """Return the trained tails, empty where nothing is trained."""
        return (
            self.a[:0] if self.a_tail is None else self.a_tail,
            self.b[:0] if self.b_tail is None else self.b_tail,
            self.w[:0] if self.w_tail is None else self.w_tail,
        )

    def stacks(self) -> Stacks:
        """Return a (K, D_in), b (K, D_out) and w (N, D_out) of all LoRAs, frozen and trained."""
        return self.a, self.b, self.w

    def rows(self, index: int) -> slice:
        """Return where LoRA `index` lies in the stacks."""
        first = sum(self.ranks[:index])
        return slice(first, first + self.ranks[index])

    def part(self, first: int, last: int) -> LoRAs:
        """Return LoRAs first .. last - 1; their selectors learn where they are all or the oldest.

        Tails end where the stacks do, so only the newest LoRA's rows may be trained.
        """
        ranks, count = self.ranks[first:last], len(self)
        rank = ranks[0] if len(set(ranks)) == 1 else 0
        a, b, w = self.tails()
        if last - first == count:  # as in nearly every forward pass
            return LoRAs(self.stacks(), self.spread, (a, b, w), rank)
        start = sum(self.ranks[:first])
        rows = slice(start, start + sum(ranks))
        if last < count:
            a, b, w = a[:0], b[:0], w[: last - count]
        if first:
            w = w[:0]
        stacks = self.a[rows], self.b[rows], self.w[first:last]
        spread = self.spread[first:last, rows].contiguous()
        return LoRAs(stacks, spread, (a, b, w), rank)

    def of_stage(self, stage: int) -> LoRAs:
        """Return the team of a stage, frozen, with the selectors kept then, or today's.

        They are those that answered when the stage ended, at the same alignment in memory whatever
        other LoRAs there are now, so that products round the same. A team that is not the oldest
        LoRAs is copied, once.
        """
        if stage not in self.alone:
            team, (a, b, w) = self.team(stage), self.stacks()
            with torch.inference_mode(False), torch.no_grad():
                if team == tuple(range(len(team))):
                    rows = slice(sum(self.ranks[: len(team)]))
                    a, b, w = a[rows], b[rows], w[: len(team)]
                else:
                    rows = [self.rows(place) for place in team]
                    a, b = (torch.cat([stack[each] for each in rows]) for stack in (a, b))
                    w = w[list(team)]
                w = self.kept_of(stage) if len(self.kept) else w
            ranks = {self.ranks[place] for place in team}
            rank = ranks.pop() if len(ranks) == 1 else 0
            self.alone[stage] = LoRAs((a, b, w), self.spread_of(team), (a[:0], b[:0], w[:0]), rank)
        return self.alone[stage]

    def of_all(self, stages: int) -> Teams:
        """Return all of so many stages; made once."""
        if self.all is None or len(self.all.members) != 1 + stages:
            teams = [self.team(stage) for stage in range(1, 1 + stages)]
            count = 1 + max(max(team) for team in teams)
            loras = self.part(0, count)
            a, b, w = loras.stacks
            with torch.inference_mode(False), torch.no_grad():
                members = a.new_zeros(1 + stages, count)
                pulls = a.new_zeros(1 + stages, len(a) if len(self.kept) else 0)
                for stage, team in enumerate(teams, 1):
                    members[stage, list(team)] = 1
                    if len(self.kept):
                        rows = torch.cat([torch.arange(len(a))[self.rows(place)] for place in team])
                        (_, own, w), spread, _, rank = self.of_stage(stage)
                        pulls[stage, rows] = own_products(w, own, spread, rank)
            self.all = Teams(loras._replace(tails=(a[:0], b[:0], w[:0])), members, pulls)
        return self.all

    def prototypes(self) -> Tensor:
        """Return (N, D_in) Arrow's prototypes of all LoRAs, computed once after each change."""
        if self.wanted is None:
            with torch.inference_mode(False), torch.no_grad():
                self.wanted = arrow.prototypes(self.a, self.b, self.ranks)
        return self.wanted

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Bank":
        """Move the stacks and point the tails at them: a moved tail would no longer share memory.

        The parameters stay the same objects, so that an optimiser made earlier still trains them.
        """
        tails = self.a_tail, self.b_tail, self.w_tail
        self.a_tail = self.b_tail = self.w_tail = None
        super()._apply(fn, recurse)  # pyright: ignore[reportUnknownMemberType]
        for tail, stack in zip(tails, self.stacks(), strict=True):
            if tail is not None:
                grad, tail.grad = tail.grad, None
                tail.data = stack[len(stack) - len(tail) :]
                tail.grad = None if grad is None else fn(grad)
        self.a_tail, self.b_tail, self.w_tail = tails
        self.forget()  # a scale that went through a narrow dtype would stay rounded
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> "Bank":
        """Copy the stacks, then cut tails from the copy: copied tails would share no memory."""
        twin = Bank(self.a.shape[1], self.b.shape[1], self.a.device).to(self.a.dtype)
        memo[id(self)] = twin
        twin.set(self.ranks, self.alphas, self.stacks(), self.kept, self.teams)
        if self.trained:
            twin._cut(*self.trained)
        return twin.train(self.training)
