"""`amlora orders`: the paper's six orders of tasks, and AM-LoRA's lambda for each task."""

from typing import Annotated

import typer

from amlora.cli.output import Json, columns, print_json, print_pairs
from amlora.cli.terminal import say
from amlora.errors import InputError, nearest


def orders(
    name: Annotated[str | None, typer.Argument(help="Show this order's lambdas as well.")] = None,
    as_json: Json = False,
) -> None:
    """List the paper's orders (table 4), or show one with its lambdas (section 7.3)."""
    from amlora.streams.catalogue import details

    known = details()
    if name is not None and name not in known:
        close = nearest(name, known) or f"; orders: {', '.join(known)}."
        raise InputError(f"unknown order {name!r}{close}")
    if as_json:
        plain = {key: order.model_dump(mode="json") for key, order in known.items()}
        return print_json(plain if name is None else plain[name])
    if name is None:
        rows = [(order, ", ".join(found.tasks)) for order, found in known.items()]
        say(columns([("ORDER", "TASKS"), *rows]))
        return
    found = known[name]
    print_pairs([(t, repr(v)) for t, v in zip(found.tasks, found.sparsity, strict=True)])
    values = ", ".join(map(repr, found.sparsity))
    say(f"\n--set stream.order={name} --set 'method.sparsity=[{values}]'")
