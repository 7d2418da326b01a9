"""What no method takes: values out of range, and settings that would have no effect."""

import pytest

from amlora.errors import InputError
from amlora.experiment.prepare import prepare
from amlora.experiment.settings import MethodChoice
from amlora.methods import METHODS, method_class

NO_SELECTORS = {"selectors": "none", "sparsity": 0.0}
ATTENTION = {"combine": "attention"}
WRONG = [
    ("am_lra", {}, "unknown method 'am_lra'; did you mean 'am_lora'"),
    ("am_lora", {"selectors": "none"}, "sparsity has no effect while selectors is"),
    ("am_lora", {**NO_SELECTORS, "selector_lr": 0.1}, "selector_lr has no effect while selectors"),
    ("am_lora", {**NO_SELECTORS, "sparsity_form": "proximal"}, "no effect while sparsity is 0"),
    ("am_lora", {"sparsity_form": "proximal", "sparsity": [0.0, 0.0]}, "while sparsity is 0"),
    ("am_lora", {"selector_lr": 0.0}, "selector_lr must be above 0"),
    ("am_lora", {"sparsity": [0.1, -0.1]}, "sparsity[1] must be at least 0, got -0.1"),
    ("anchored_lora", {"feature_layers": -1}, "feature_layers must be at least 0"),
    ("anchored_lora", {"selector_lr": 0.1}, "selector_lr has no effect"),
    ("anchored_lora", {"start": "zeros"}, "start has no effect"),
    ("anchored_lora", {"sparsity": 1e-5}, "sparsity has no effect"),
    ("anchored_lora", {"gain": "loras"}, "gain has no effect"),
    ("anchored_lora", {"newcomer": "ramp"}, "newcomer has no effect"),
    ("anchored_lora", {"selectors": "new"}, "selectors has no effect"),
    ("anchored_lora", {"temperature": 2.0}, "temperature has no effect"),
    ("anchored_lora", {"reject": 0.7}, "reject must be"),
    ("anchored_lora", {"reject": 1e-17}, "reject must be"),
    ("anchored_lora", {"shrinkage": 0.0}, "shrinkage must be"),
    ("anchored_lora", {**ATTENTION, "sparsity_form": "proximal"}, "no effect while sparsity is 0"),
    ("ewc", {"strength": 0.0}, "strength must be above 0"),
    ("ewc", {"fisher_rows": 0}, "fisher_rows must be at least 1"),
    ("ewc", {"decay": 1.5}, "decay must be at least 0 and at most 1"),
    ("gain_lora", {"gate_threshold": 0.0}, "gate_threshold must be above 0 and at most 1"),
    ("gain_lora", {"gate_lr": 0.0}, "gate_lr must be above 0"),
    ("inf_lora", {"threshold": 1.01}, "threshold must be above 0 and at most 1"),
    ("inf_lora", {"measured_rows": 0}, "measured_rows must be at least 1"),
    ("l2p", {"pool": 3, "top_k": 4}, "top_k must be at most pool, 3, got 4"),
    ("l2p", {"pull": -0.1}, "pull must be at least 0"),
    ("lfpt5", {"lm_weight": 0.0}, "lm_weight must be above 0"),
    ("lfpt5", {"kd_weight": -1.0}, "kd_weight must be at least 0"),
    ("lfpt5", {"ratio": 101.0}, "ratio must be above 0 and at most 100"),
    ("lfpt5", {"pseudo": {"min_text_tokens": 129}}, "is 129, more than max_text_tokens, 128"),
    ("lfpt5", {"pseudo": {"repetition_penalty": 0.5}}, "repetition_penalty must be at least 1"),
    ("migu", {"threshold": 0.0}, "threshold must be above 0 and below 1"),
    ("migu", {"threshold": 1.0}, "threshold must be above 0 and below 1"),
    ("mtl", {"mixing": "evenly"}, "mixing"),
    ("n_lora", {"strength": -1.0}, "strength must be at least 0"),
    ("o_lora", {"l2": [0.0, -1.0]}, "l2[1] must be at least 0, got -1"),
    ("prog_prompt", {"length": 0}, "length must be at least 1, got 0"),
    ("prog_prompt", {"bottleneck": 16}, "bottleneck has no effect unless reparameterise is true"),
    ("prog_prompt", {"bottleneck": 0, "reparameterise": True}, "bottleneck must be at least 1"),
    ("replay", {"fraction": 0.0}, "fraction must be above 0 and at most 1"),
    ("replay", {"ratio": 0.0}, "ratio must be above 0 and at most 100"),
    *[
        (name, {"lora": {"rank": 4}}, 'lora has no effect while trainable is "all"')
        for name in ("seq_ft", "per_task_ft", "mtl", "replay", "ewc", "migu")
    ],
]


@pytest.mark.parametrize(("name", "options", "message"), WRONG, ids=str)
def test_a_wrong_setting_is_refused_and_named(name, options, message):
    with pytest.raises(InputError) as caught:
        MethodChoice.of({"name": name, **options}, "method")
    assert str(caught.value).startswith("method.") and message in str(caught.value)


NEEDED = {"anchored_lora": ATTENTION}
"""Settings without which such a setting has no effect."""
PER_TASK = [(name, key) for name in sorted(METHODS) for key in method_class(name).per_task]


@pytest.mark.parametrize(("name", "key"), PER_TASK)
def test_a_list_of_the_wrong_length_is_refused(llama_folder, task_settings, name, key):
    method = {"name": name, **NEEDED.get(name, {})}
    settings = task_settings(llama_folder, {**method, key: [0.1, 0.2, 0.3]})
    with pytest.raises(InputError, match=rf"has 2 tasks but method\.{key} has 3 values"):
        prepare(settings)
    prepare(task_settings(llama_folder, {**method, key: [0.1, 0.2]}))
