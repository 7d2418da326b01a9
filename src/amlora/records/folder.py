"""A skills folder as a reader sees it: its versions, a tree, and what each says of its skills."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from amlora.errors import InputError
from amlora.records.skills import Learned, Standing
from amlora.records.states import Kept, State, state_of


@dataclass(frozen=True, kw_only=True)
class Version:
    """One version of a folder."""

    number: int
    parent: int | None
    """The version that it was made from; None of the first."""
    in_use: bool
    standing: Standing
    learned: Mapping[str, Learned]
    """By skill, in the version's order."""
    kept: Mapping[str, Kept]
    """Of the same skills."""

    @cached_property
    def state(self) -> State:
        """What it answers to kept rows.

        Raises:
            InputError: what it says of them does not fit together.
        """
        try:
            return state_of(self.learned, self.kept, self.standing.astray)
        except InputError as error:
            raise InputError(f"version {self.number}: {error}") from None


@dataclass(frozen=True, kw_only=True)
class Folder:
    """All versions of a folder that are still there."""

    name: str
    """As the user named it."""
    base: str
    """The pretrained model under the skills."""
    versions: tuple[Version, ...]
    """Oldest first, at least one."""

    def version(self, number: int | None = None) -> Version:
        """Return the version of a number, the one in use without a number.

        Raises:
            InputError: there is none of that number, or none in use.
        """
        for each in self.versions:
            if each.number == number or (number is None and each.in_use):
                return each
        have = ", ".join(str(each.number) for each in self.versions)
        what = "no version in use" if number is None else f"no version {number}"
        raise InputError(f"{self.name}: {what}; there are {have}.")

    @cached_property
    def numbered(self) -> dict[int, Version]:
        """All versions by their numbers."""
        return {each.number: each for each in self.versions}

    def parent(self, version: Version) -> Version | None:
        """Return the version that another was made from; None where it is not there."""
        return None if version.parent is None else self.numbered.get(version.parent)

    def line(self, version: Version) -> list[Version]:
        """Return a version's ancestors, the oldest first, and itself."""
        return [*self.upwards(version)][::-1]

    def upwards(self, version: Version) -> Iterator[Version]:
        """Give a version, the one that it was made from, and so on; numbers always fall."""
        step: Version | None = version
        while step is not None:
            yield step
            above = self.parent(step)
            step = above if above is None or above.number < step.number else None

    def role(self, version: Version) -> str:
        """Tell what a version is: in use, earlier (an ancestor of that one) or a candidate."""
        if version.in_use:
            return "in use"
        used = [each for each in self.versions if each.in_use]
        numbers = {each.number for each in self.line(used[0])} if used else set[int]()
        return "earlier" if version.number in numbers else "candidate"

    def renamed(self, first: Version, second: Version) -> dict[str, str]:
        """Return what skills of one version are called in another, where it is something else.

        By what was renamed between each of them and the last ancestor that both have.
        """
        common = {each.number for each in self.line(first)}
        common &= {each.number for each in self.line(second)}
        back, on = (
            [each for each in self.line(end) if each.number not in common]
            for end in (first, second)
        )
        names = {skill: skill for skill in first.learned}
        for version in reversed(back):
            old = {new: name for name, new in version.standing.renamed.items()}
            names = {skill: old.get(name, name) for skill, name in names.items()}
        for version in on:
            names = {skill: version.standing.renamed.get(n, n) for skill, n in names.items()}
        return {skill: name for skill, name in names.items() if skill != name}
