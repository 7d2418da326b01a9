"""`amlora report`: the page of a run or a store, with what its records alone do not tell."""

from collections.abc import Sequence
from pathlib import Path

from amlora.errors import InputError


def page(wanted: Sequence[str], folders: Sequence[Path], against: str | None = None) -> str:
    """Return the page, ready to write.

    Choices of learning rates are read from the stores that were asked for, and so not with a run
    that was asked for by itself: nothing outside of what was named is read.

    Args:
        wanted: runs or folders of runs, as asked for.
        folders: the runs that these are.
        against: the line that all others are compared with; None for that of am_lora.

    Raises:
        InputError: runs that cannot be shown, an altered choice, or a missing extra.
    """
    from amlora.cli.methods_table import facts_of
    from amlora.cli.paper_table import protocols
    from amlora.records.store import is_store, read_run
    from amlora.report.published import published
    from amlora.streams import catalogue

    try:
        from amlora.report.choices import read_choices
        from amlora.report.known import Known
        from amlora.report.page import build_page
    except ModuleNotFoundError as error:
        raise InputError(
            f"report: {error.name} is not installed; pip install 'amlora[report]'."
        ) from None
    stores = [Path(item) for item in wanted if is_store(Path(item))]
    methods = {read_run(folder).record.method for folder in folders}
    printed = {method.name for table in published().values() for method in table.methods}
    known = Known(
        facts=facts_of(methods | printed),
        choices=[choice for store in stores for choice in read_choices(store)],
        orders=catalogue.orders(),
        protocols=protocols(),
        against=against,
    )
    return build_page(folders, known)
