"""Skills that are added, replaced, removed and renamed, as versions of one folder."""

import pytest
import torch
from torch import Tensor

from amlora import files
from amlora.engine.backbone import base_of
from amlora.errors import InputError
from amlora.mixture.draft import Draft
from amlora.mixture.inject import inject
from amlora.mixture.layer import Control
from amlora.mixture.load import load_skills, read_cards, read_skills
from amlora.mixture.manifest import EXTRA, KEPT_ROWS
from amlora.mixture.version import in_use, list_versions, read_task_file, read_version, verify
from learned import ALPHA, SECRET, Folder, card, extra, router
from trained import load_base, logits
from written import saved

TEAMS = {"a": (), "b": (), "c": ("a",), "d": ("c", "a"), "e": ("b", "d")}


@pytest.fixture
def folder(llama_folder, tmp_path) -> Folder:
    return Folder(tmp_path / "skills", llama_folder)


def answers(folder: Folder, base, version=None) -> dict[str, Tensor]:
    """Return the logits of each skill's model."""
    backbone = load_base(base)
    stored = read_skills(folder.place, version)
    mixture = load_skills(folder.place, backbone.model, stored, base=base_of(backbone))
    count = len(mixture.stage_names)
    found: dict[str, Tensor] = {}
    for stage, name in enumerate(mixture.stage_names, 1):
        route = tuple(float(k == stage) for k in range(1 + count))
        with mixture.control.routing.of([route] * 2, torch.device("cpu")):
            found[name] = logits(backbone)
    return found


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    """Tell whether all of the first ones are among the second, bit for bit."""
    return all(torch.equal(second[name], tensor) for name, tensor in first.items())


@pytest.mark.parametrize("combine", ["sum", "attention"])
def test_a_skills_logits_are_the_same_bits_however_many_skills_there_are(
    any_folder, tmp_path, combine
):
    folder = Folder(tmp_path / "skills", any_folder, combine=combine)
    before: dict[str, Tensor] = {}
    for name, uses in TEAMS.items():
        folder.learn(name, uses, rank=3 if name in "bc" else 2)
        now = answers(folder, any_folder)
        assert same(before, now)
        before = now
    draft = folder.draft()
    for name in "fghij":
        draft.add(card(name), **folder.lora(name, ["a", "e"]))
    folder.write(draft)
    now = answers(folder, any_folder)
    assert len(now) == 10 and same(before, now)
    assert len({float(tensor.sum()) for tensor in now.values()}) == 10


def test_a_skill_answers_bit_for_bit_as_the_sub_mixture_that_it_was_learned_in(
    any_folder, tmp_path
):
    folder = Folder(tmp_path / "skills", any_folder)
    for name, uses in TEAMS.items():
        folder.learn(name, uses)
    found = answers(folder, any_folder)
    for name, uses in TEAMS.items():
        backbone = load_base(any_folder)
        mixture = inject(backbone.model, folder.targets, Control(combine="sum"))
        for each in (*uses, name):
            tensors = folder.lora(each)["tensors"]
            for target, layer in mixture.layers.items():
                a, b = tensors[f"{target}.a"], tensors[f"{target}.b"]
                layer.bank.extend(a, b, torch.zeros(b.shape[1]), ALPHA)
            mixture.names.append(each)
        assert torch.equal(logits(backbone), found[name])


def test_a_version_says_what_each_skill_uses_and_shares_the_folders_of_the_one_before(folder):
    first = folder.learn("a", extra=extra("a"))
    second = folder.learn("b", ["a"])
    assert (first.version, second.version, in_use(folder.place)) == ("0001", "0002", "0002")
    assert second.previous is not None and second.previous.version == "0001"
    assert [skill.name for skill in second.skills] == ["a", "b"]
    assert second.skills[1].uses == (second.skills[0].lora,)
    assert second.teams() == [(0,), (0, 1)]
    assert second.loras[0] == first.loras[0]
    assert second.loras[0].folder == f"tasks/{second.loras[0].name}"
    assert list_versions(folder.place) == [first, verify(folder.place)]
    assert {path: second.files[path] for path in first.files if path[:5] == "tasks"}


def test_what_lies_beside_a_skill_is_read_by_its_name_and_may_be_missing(folder):
    folder.learn("a", extra=extra("a"))
    version = folder.learn("b")
    for name in EXTRA:
        assert read_task_file(folder.place, version, "a", name) == extra("a")[name]
        assert read_task_file(folder.place, version, "b", name) is None
    with pytest.raises(InputError, match="no skill 'bb'; did you mean 'b'"):
        read_task_file(folder.place, version, "bb", KEPT_ROWS)


def test_a_replaced_skill_answers_anew_in_its_place_and_others_keep_what_they_used(
    folder, llama_folder
):
    for name, uses in TEAMS.items():
        folder.learn(name, uses)
    before = answers(folder, llama_folder)
    draft = folder.draft()
    draft.replace(card("a"), **folder.lora("again", ["a", "b"]))
    version = folder.write(draft)
    now = answers(folder, llama_folder)
    assert list(now) == list(before)
    assert not torch.equal(now.pop("a"), before.pop("a"))
    assert same(before, now)
    assert len(version.loras) == 6
    draft = folder.draft()
    draft.replace(card("e"), **folder.lora("again"))  # nobody uses the old one
    assert len(folder.write(draft).loras) == 6


def test_a_removed_skills_lora_stays_as_long_as_another_uses_it(folder, llama_folder):
    for name, uses in TEAMS.items():
        folder.learn(name, uses)
    before = answers(folder, llama_folder)
    for gone, loras in (("a", 5), ("e", 4), ("b", 3)):
        draft = folder.draft()
        draft.remove(gone)
        version = folder.write(draft)
        assert len(version.loras) == loras
        now = answers(folder, llama_folder)
        assert list(now) == [skill.name for skill in version.skills]
        assert gone not in now and same(now, before)
    assert [task.name for task in verify(folder.place).tasks] == ["c", "d"]


def test_a_renamed_skill_keeps_its_folder_and_its_answers(folder, llama_folder):
    folder.learn("a")
    old = folder.learn("b", ["a"])
    before = answers(folder, llama_folder)
    draft = folder.draft()
    draft.rename("a", "Über us")
    new = folder.write(draft)
    assert (new.loras, new.skills[0].name, new.tasks[0].name) == (old.loras, "Über us", "Über us")
    now = answers(folder, llama_folder)
    assert torch.equal(now["Über us"], before["a"]) and torch.equal(now["b"], before["b"])
    stored = read_cards(folder.place, new)[0]
    assert stored == card("a").replace(name="Über us")


def test_a_candidate_is_read_by_its_number_and_is_not_in_use(folder):
    candidate = folder.learn("a", publish=False)
    assert in_use(folder.place) is None
    with pytest.raises(InputError, match="no version is in use; candidates: 0001"):
        read_version(folder.place)
    assert verify(folder.place, "0001") == candidate
    folder.learn("b")
    other = folder.learn("c", publish=False)
    assert other.previous is not None and other.previous.version == "0002"
    assert (in_use(folder.place), other.version) == ("0002", "0003")
    assert read_skills(folder.place, "0003").manifest == other


def test_nothing_is_written_before_write(folder):
    draft = folder.draft()
    draft.add(card("a"), **folder.lora("a"))
    assert not folder.place.exists()


def test_a_readme_says_whether_the_lora_alone_is_the_skill_and_that_rows_are_kept(folder):
    folder.learn("a", extra=extra("a"))
    version = folder.learn("b", ["a"])
    places = [folder.place / lora.folder / "README.md" for lora in version.loras]
    alone, on_top = (place.read_text() for place in places)
    assert "The LoRA alone is the skill, exactly" in alone and "user data" in alone
    assert f"It was learned on top of {version.loras[0].name}" in on_top
    assert "user data" not in on_top
    text = (folder.place / version.folder / "README.md").read_text()
    assert "| a | nothing | 75.0 | exact |" in text
    assert f"| b | {version.loras[0].name} | - | - |" in text
    assert "They are user data" in text and SECRET not in text


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda d, f: d.add(card("a"), **f.lora("a")), "'a': there is one already"),
        (lambda d, f: d.add(card("c"), **f.lora("c", ["bb"])), "no skill 'bb'; did you mean 'b'"),
        (lambda d, f: d.replace(card("x"), **f.lora("x")), "no skill 'x'; there are a, b"),
        (lambda d, f: d.remove("x"), "no skill 'x'"),
        (lambda d, f: d.rename("a", "b"), "'b': there is one already"),
        (lambda d, f: d.add(card("c"), **f.lora("c", alpha=1e30)), "alpha / rank must be"),
        (lambda d, f: d.add(card("c"), **f.lora("c", tensors={})), "missing or unknown"),
        (
            lambda d, f: d.add(
                card("c"),
                **f.lora(
                    "c", tensors={n: t * torch.nan for n, t in f.lora("c")["tensors"].items()}
                ),
            ),
            "not finite",
        ),
    ],
)
def test_what_does_not_fit_is_refused_and_the_draft_is_as_before(folder, change, told):
    folder.learn("a")
    folder.learn("b")
    draft = folder.draft()
    with pytest.raises(InputError, match=told):
        change(draft, folder)
    assert draft.names() == ["a", "b"]
    assert folder.write(draft).skills == verify(folder.place, "0002").skills


def test_the_last_skill_is_not_removed_and_a_router_must_fit(folder):
    folder.learn("a")
    draft = folder.draft()
    with pytest.raises(InputError, match="the only one there is"):
        draft.remove("a")
    draft.add(card("b"), **folder.lora("b"))
    with files.lock(folder.place), pytest.raises(InputError, match="but 1 stages have ended"):
        draft.write(folder.place, router=router("a"), scores={}, publish=True)
    assert verify(folder.place).version == "0001"


def test_a_version_whose_loras_all_answer_takes_no_skills(llama_folder, tmp_path):
    place = saved(tmp_path / "skills", llama_folder)
    with pytest.raises(InputError, match="skills need a folder of their own"):
        Draft.of(place, verify(place))
