"""What several processes of one run decide together: one of them acts, all know how it went.

Under a launcher every process runs the same program. Only the main one writes; these functions keep
the others from going on, or from waiting for ever, when it could not.
"""

import atexit
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import broadcast_object_list, gather_object, parse_flag_from_env

from amlora.errors import InputError

Item = TypeVar("Item")
Result = TypeVar("Result")
PATIENCE = timedelta(hours=1)
"""How long processes wait for one that writes a large checkpoint, or loads a model slowly."""
SHARDING = {
    "FSDP": "ACCELERATE_USE_FSDP",
    "DeepSpeed": "ACCELERATE_USE_DEEPSPEED",
    "Megatron-LM": "ACCELERATE_USE_MEGATRON_LM",
    "a parallelism config": "ACCELERATE_USE_PARALLELISM_CONFIG",
}
"""Ways of accelerate's that split weights over processes, and how its launcher asks for them."""


def join(device: torch.device) -> PartialState:
    """Join the other processes of the launch, if there are any.

    From here on "cuda" means the card of this process.

    Raises:
        InputError: the launch would shard weights.
    """
    for name, variable in SHARDING.items():
        if parse_flag_from_env(variable):
            raise InputError(
                f"{name} ({variable}) is not supported: it splits weights that penalties read as a"
                " whole; launch plain data parallelism instead (accelerate launch --multi_gpu)."
            )
    state = PartialState(cpu=device.type == "cpu", timeout=PATIENCE)
    if state.num_processes > 1:
        # Gloo's threads abort the process when they outlive the interpreter.
        atexit.register(state.destroy_process_group)
    return state


def by_main(accelerator: Accelerator, work: Callable[[], Result]) -> Result:
    """Let the main process do something, and give its result, which can be sent, to all.

    Raises:
        Exception: whatever `work` raised, in the main process.
        InputError: in the others, with its text.
    """
    if accelerator.num_processes == 1:
        return work()
    if accelerator.is_main_process:
        try:
            result = work()
        except Exception as error:
            broadcast_object_list([None, str(error)])
            raise
        broadcast_object_list([result, None])
        return result
    sent: list[Any] = broadcast_object_list([None, None])
    result, problem = sent
    if problem is not None:
        raise InputError(problem)
    return result


def share_out(
    accelerator: Accelerator,
    items: Sequence[Item],
    work: Callable[[Sequence[Item]], list[Result]],
) -> list[Result]:
    """Let each process work on its share of the items; return a result for each, in their order."""
    count = accelerator.num_processes
    results = work(items[accelerator.process_index :: count])
    if count == 1:
        return results
    # The processes' items one after another: the first's, every count-th of all, and so on.
    places = [i for process in range(count) for i in range(process, len(items), count)]
    by_place = dict(zip(places, gather_object(results), strict=True))
    return [by_place[i] for i in range(len(items))]


def agree(accelerator: Accelerator, value: object, problem: str) -> None:
    """Check that all processes have the same value.

    Raises:
        InputError: `problem`, in all of them.
    """
    if accelerator.num_processes > 1 and len(set(gather_object([value]))) > 1:
        raise InputError(problem)
