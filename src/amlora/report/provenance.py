"""Where a run comes from: code, machine, versions, digests, times, as names and values."""

from collections import Counter

from amlora.records.beside import Device
from amlora.records.run import StoredRun as Run
from amlora.report import format


def device_text(device: Device) -> str:
    """Say on what a run was made: accelerators, processor, threads, memory, system."""
    cards = Counter(card.name for card in device.accelerators)
    parts = (
        *(f"{number} x {name}" for name, number in cards.items()),
        device.cpu,
        f"{device.threads} threads" if device.threads else "",
        f"{format.size(device.memory_bytes)} of memory" if device.memory_bytes else "",
        device.platform,
    )
    return ", ".join(str(part) for part in parts if part)


def provenance(run: Run) -> tuple[tuple[str, str], ...]:
    """Return where a run comes from, as names and values."""
    record, measured = run.record, run.measured
    dirty = " with uncommitted changes" if measured.git.dirty else ""
    commit = measured.git.commit
    speed = measured.tokens_per_second
    rows = (
        ("folder", run.path.name),
        ("method", f"{record.method}, version {record.method_version}"),
        ("model", f"{record.model.name} {record.model.revision or ''}".strip()),
        ("model parameters", format.count(record.model.parameters)),
        ("fingerprint of the frozen weights", record.model.fingerprint or ""),
        ("digest of settings", record.settings_digest),
        ("digest of the task stream", record.stream_digest),
        ("digest of texts and questions of no task", record.general_digest or ""),
        ("digest of the rows' decisions", record.rows_digest or ""),
        ("code", f"{commit}{dirty}" if commit else ""),
        ("versions", ", ".join(f"{name} {v}" for name, v in sorted(measured.versions.items()))),
        ("device", device_text(measured.device)),
        (
            "time",
            ", ".join(f"{k} {format.seconds(v)}" for k, v in sorted(measured.seconds.items())),
        ),
        ("training speed", f"{format.count(speed)} tokens per second" if speed else ""),
        ("peak memory", format.size(measured.peak_memory_bytes)),
        ("finished", measured.finished),
    )
    return tuple((name, value) for name, value in rows if value not in ("", format.MISSING))
