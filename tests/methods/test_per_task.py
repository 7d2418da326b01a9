"""Settings that are one number or one per task."""

import pytest

from amlora.errors import InputError
from amlora.experiment.prepare import prepare
from amlora.methods import METHODS, method_class
from amlora.methods.parts.per_task import number_of


def test_one_number_serves_all_tasks_and_a_list_each_its_own():
    assert [number_of(0.5, i) for i in range(2)] == [0.5, 0.5]
    assert [number_of((0.5, 0.0), i) for i in range(2)] == [0.5, 0.0]


@pytest.mark.parametrize("values", [-1.0, float("nan"), float("inf"), (0.1, -1.0)])
def test_a_negative_or_endless_number_is_refused(values):
    with pytest.raises(InputError, match=r"^strength"):
        method_class("n_lora").Settings(strength=values)


NEEDED = {"anchored_lora": {"combine": "attention"}}
"""Settings without which such a setting has no effect."""
PER_TASK = [(name, key) for name in sorted(METHODS) for key in method_class(name).per_task]


def test_the_settings_that_may_be_lists_are_known():
    assert {("am_lora", "sparsity"), ("o_lora", "strength"), ("o_lora", "l2")} <= set(PER_TASK)


@pytest.mark.parametrize(("name", "key"), PER_TASK)
def test_a_list_of_the_wrong_length_is_refused(llama_folder, task_settings, name, key):
    method = {"name": name, **NEEDED.get(name, {})}
    settings = task_settings(llama_folder, {**method, key: [0.1, 0.2, 0.3]})
    with pytest.raises(InputError, match=rf"has 2 tasks but method\.{key} has 3 values"):
        prepare(settings)
    prepare(task_settings(llama_folder, {**method, key: [0.1, 0.2]}))
