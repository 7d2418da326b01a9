"""Learning one skill after another: what changes in the folder, and what does not."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from amlora import files
from amlora.engine.encode import Row
from amlora.engine.route import by_routes
from amlora.errors import InputError
from amlora.experiment.reporter import Silent
from amlora.experiment.stop import Interrupted
from amlora.mixture.draft import Draft
from amlora.mixture.load import read_skills
from amlora.mixture.version import in_use, list_versions, read_version
from amlora.skills.bench import Bench
from amlora.skills.edit import remove, rename
from amlora.skills.facts import read_facts
from amlora.skills.learn import ROUTED, WORK, routed_by
from amlora.skills.skills import Skills
from tables import FLOAT32, QUICK, learned, write_table


@pytest.fixture(scope="module")
def made(tmp_path_factory, llama_folder) -> Path:
    """A folder with two skills."""
    place = tmp_path_factory.mktemp("made")
    for name in ("film", "topic"):
        learned(place / "skills", llama_folder, name, write_table(place, name))
    return place / "skills"


@pytest.fixture
def two(made, tmp_path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(made, tmp_path / "skills"))


def facts(folder, version=None):
    return read_facts(folder, read_version(folder, version))


def logits(folder, version, skill):
    """Return the logits of a skill's kept prompts, each alone, answered by the skill."""
    bench = Bench.of(folder, version, FLOAT32)
    bench.put_on()
    card = next(each.card for each in bench.skills if each.card.name == skill)
    rows = bench.routed(bench.rows(card, examples(folder, version, skill)), skill)
    found = []
    with torch.inference_mode():
        for row in rows:
            with by_routes(bench.backbone, [row]):
                ids = torch.tensor([row.prompt_ids])
                given = (
                    {"decoder_input_ids": torch.tensor([[0]])}
                    if bench.backbone.family == "encoder-decoder"
                    else {}
                )
                found.append(bench.backbone.model(input_ids=ids, **given).logits)
    return found


def examples(folder, version, skill):
    from amlora.streams.task import Example

    rows = facts(folder, version).kept[skill].rows
    return [Example(text=row.text, label=row.label, row=row.row) for row in rows]


def test_a_later_skill_changes_no_bit_of_an_earlier_skills_answers(tmp_path, any_folder):
    folder = tmp_path / "skills"
    for name in ("film", "topic", "truth"):
        assert learned(folder, any_folder, name, write_table(tmp_path, name)).version
    pairs = zip(logits(folder, "0001", "film"), logits(folder, "0003", "film"), strict=True)
    assert all(torch.equal(old, new) for old, new in pairs)


def test_the_first_skill_makes_the_folder_and_each_is_published(made):
    assert in_use(made) == "0002"
    assert [[skill.name for skill in each.skills] for each in list_versions(made)] == [
        ["film"],
        ["film", "topic"],
    ]
    assert not (made / WORK).exists()


def test_unchanged_rows_were_answered_once_more(made):
    standing = facts(made).standing
    assert standing is not None and standing.checked >= 4
    assert [each.verdict for each in standing.changes if each.skill == "film"] == ["identical"]


def test_no_training_row_is_anywhere_in_the_folder(two):
    trained = set(range(48)) - {kept_number(row) for row in facts(two).kept["film"].rows}
    found = b"".join(path.read_bytes() for path in two.rglob("*") if path.is_file())
    assert trained and not [n for n in trained if f"secret-{n}-film".encode() in found]
    assert b"-film" in found  # the kept ones are


def kept_number(row) -> int:
    return int(row.text.rsplit("secret-", 1)[1].partition("-")[0])


@pytest.mark.parametrize("keep", ["vectors", 0])
def test_without_kept_rows_no_text_is_in_the_folder(tmp_path, llama_folder, keep):
    folder, settings = tmp_path / "skills", QUICK.replace(keep_dev=keep)
    for name in ("film", "topic"):
        data = write_table(tmp_path, name)
        assert learned(folder, llama_folder, name, data, settings=settings).version
    everything = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert b"secret-" not in everything
    kept = facts(folder).kept["film"]
    assert not kept.rows and (kept.vectors is None) == (keep == 0)


def test_a_skill_that_takes_anothers_prompts_is_refused(two, llama_folder, tmp_path):
    data = write_table(tmp_path, "film", swapped=True, rows=120)
    outcome = learned(two, llama_folder, "film", data, task="thief", settings=THOROUGH)
    assert not outcome.published and in_use(two) == "0002"
    assert outcome.standing.gate.refused[0].startswith("film lost more than 2.0 points")
    assert facts(two, outcome.version).standing == outcome.standing


THOROUGH = QUICK.replace(steps=80)


def test_a_refused_version_is_published_by_force_alone_and_rolled_back(two, llama_folder, tmp_path):
    data = write_table(tmp_path, "film", swapped=True, rows=120)
    learned(two, llama_folder, "film", data, task="thief", settings=THOROUGH)
    skills = Skills(two)
    with pytest.raises(InputError, match="version 3 was refused: film lost more"):
        skills.publish(3)
    assert skills.publish(3, force=True) == "0003"
    assert skills.rollback() == in_use(two) == "0002"


def test_an_update_replaces_the_skill_and_leaves_the_rest(two, llama_folder, tmp_path):
    before = logits(two, None, "topic")
    data = write_table(tmp_path, "film", rows=90)
    outcome = learned(two, llama_folder, "film", data, update=True)
    assert outcome.standing.did == "update"
    manifest = read_version(two, outcome.version)
    assert [skill.name for skill in manifest.skills] == ["film", "topic"]
    assert facts(two, outcome.version).learned["film"].rows["train"] > 40
    pairs = zip(before, logits(two, outcome.version, "topic"), strict=True)
    assert all(torch.equal(old, new) for old, new in pairs)


def test_a_skill_that_others_use_stays_for_them(tmp_path, llama_folder):
    folder = tmp_path / "skills"
    learned(folder, llama_folder, "film", write_table(tmp_path, "film"))
    uses_all = QUICK.replace(uses="all")
    data = write_table(tmp_path, "topic")
    learned(folder, llama_folder, "topic", data, settings=uses_all)
    before = logits(folder, "0002", "topic")
    outcome = remove(folder, "film", loading=FLOAT32, max_drop=2.0)
    manifest = read_version(folder, outcome.version)
    assert len(manifest.loras) == 2 and [each.name for each in manifest.skills] == ["topic"]
    pairs = zip(before, logits(folder, outcome.version, "topic"), strict=True)
    assert all(torch.equal(old, new) for old, new in pairs)


def test_attention_learns_and_answers_in_teams(tmp_path, any_folder):
    folder = tmp_path / "skills"
    settings = QUICK.replace(combine="attention", uses="all")
    for name in ("film", "topic"):
        data = write_table(tmp_path, name)
        learned(folder, any_folder, name, data, settings=settings)
        Skills(folder).publish(force=True)  # how well so little learning went does not matter
    pairs = zip(logits(folder, "0001", "film"), logits(folder, "0002", "film"), strict=True)
    assert all(torch.equal(old, new) for old, new in pairs)
    bench = Bench.of(folder, "0002", FLOAT32)
    for name in bench.targets:  # what a third one would begin with
        ends = torch.stack([skill.kept[name][-1] for skill in bench.skills])
        assert torch.equal(bench.tensors[f"{name}.w"], ends) and ends.any(1).all()
    with pytest.raises(InputError, match="combine by 'attention', not 'sum'"):
        learned(folder, any_folder, "truth", write_table(tmp_path, "truth"))


class Stopping(Silent):
    """Asks to stop at a step, as Ctrl-C does."""

    def __init__(self, at):
        self.at = at

    def step(self, step, steps, terms, tokens_per_second):
        if step == self.at:
            import os
            import signal

            os.kill(os.getpid(), signal.SIGINT)


def test_a_stopped_learn_goes_on_to_the_same_version(tmp_path, llama_folder):
    data, folders = write_table(tmp_path, "film"), (tmp_path / "one", tmp_path / "two")
    learned(folders[0], llama_folder, "film", data)
    with pytest.raises(Interrupted):
        learned(folders[1], llama_folder, "film", data, reporter=Stopping(5))
    assert in_use(folders[1]) is None and (folders[1] / WORK).exists()
    learned(folders[1], llama_folder, "film", data)
    same = [
        [
            (lora.folder.rsplit("-", 1)[0], files.sha256_file(f / lora.folder / WEIGHTS))
            for lora in m.loras
        ]
        for f, m in ((f, read_version(f)) for f in folders)
    ]
    assert same[0] == same[1] and not (folders[1] / WORK).exists()


WEIGHTS = "adapter_model.safetensors"


def test_a_rename_changes_the_name_alone(two):
    before = read_version(two)
    outcome = rename(two, "film", "movies")
    after = read_version(two)
    assert outcome.published and [each.name for each in after.skills] == ["movies", "topic"]
    assert [each.folder for each in after.loras] == [each.folder for each in before.loras]
    [answer] = Skills(two, precision="float32").predict(["a very good film"], task="movies")
    assert set(answer["stages"]) <= {"movies", "topic", "none"}


@pytest.mark.parametrize("name", ["none", "All", "a/b"])
def test_no_skill_is_renamed_to_what_is_no_name(two, name):
    with pytest.raises(InputError, match="use"):
        rename(two, "film", name)
    assert in_use(two) == "0002"


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("film", {}, "the skill 'film' is there already; --update learns it anew"),
        ("Film", {}, "the skill 'film' is there already"),
        ("fim", {"update": True}, "no skill 'fim'; did you mean 'film'"),
        ("None", {}, "'None' stands for no skill at all"),
        ("base", {}, "'base' stands for the base model alone"),
        ("a b", {}, "use 1 to 64 letters"),
    ],
)
def test_a_name_that_does_not_fit_is_refused_before_anything_is_loaded(
    two, llama_folder, tmp_path, name, given, said
):
    with pytest.raises(InputError, match=said):
        learned(two, llama_folder, "film", write_table(tmp_path, "film"), task=name, **given)
    assert in_use(two) == "0002"


def test_another_base_model_is_refused(two, t5_folder, tmp_path):
    with pytest.raises(InputError, match=r"its base model is .*, not "):
        learned(two, t5_folder, "truth", write_table(tmp_path, "truth"))


def test_wrong_data_makes_no_folder(tmp_path, llama_folder):
    with pytest.raises(InputError, match="no such file"):
        learned(tmp_path / "skills", llama_folder, "film", tmp_path / "nothing.csv")
    assert not (tmp_path / "skills").exists()


def test_the_history_tells_all_versions_and_diff_compares_any_two(two):
    rename(two, "film", "movies")
    skills = Skills(two)
    folder = skills.history()
    assert [(each.number, each.parent, each.in_use) for each in folder.versions] == [
        (1, None, False),
        (2, 1, False),
        (3, 2, True),
    ]
    verdicts = {each.skill: each.verdict for each in skills.diff(1, 3)}
    assert verdicts == {"movies": "identical", "topic": "new"}


def test_eval_answers_kept_rows_or_fresh_ones_by_the_router(two, tmp_path):
    skills = Skills(two, precision="float32")
    kept = {each.skill: each for each in skills.eval()}
    assert kept["film"].score == kept["film"].learned and kept["film"].answered_by == {"film": 9}
    rows = [("a very good film at last", "Good"), ("the team won the game", "Good")]
    path = tmp_path / "fresh.csv"
    path.write_text("\n".join(["text,right", *(",".join(row) for row in rows)]))
    [fresh] = skills.eval("film", path, label="right")
    assert fresh.rows == 2 and sum(fresh.answered_by.values()) == 2


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (QUICK.replace(max_tokens=64), "max_tokens: its prompts have at most 512 tokens, not 64"),
        (
            QUICK.replace(lora=QUICK.lora.replace(targets=("o_proj",))),
            "its skills adapt q_proj, v_proj, and not the layers that o_proj stands for",
        ),
    ],
)
def test_what_a_folder_has_one_of_is_not_silently_otherwise(
    two, llama_folder, tmp_path, settings, said
):
    with pytest.raises(InputError, match=said):
        learned(two, llama_folder, "truth", write_table(tmp_path, "truth"), settings=settings)


def test_the_same_layers_by_name_and_another_rank_are_fine(two, llama_folder, tmp_path):
    lora = QUICK.lora.replace(targets=("v_proj", "q_proj"), rank=2)
    data = write_table(tmp_path, "truth")
    learned(two, llama_folder, "truth", data, settings=QUICK.replace(lora=lora, steps=2))
    assert [each.rank for each in list_versions(two)[-1].loras] == [4, 4, 2]


def test_a_file_is_no_folder_of_skills(llama_folder, tmp_path):
    place, data = tmp_path / "skills", write_table(tmp_path, "film")
    place.write_text("mine")
    with pytest.raises(InputError, match="is a file"):
        learned(place, llama_folder, "film", data)
    assert place.read_text() == "mine"


def test_threads_that_ask_at_once_get_the_answers_of_one_that_asks_alone(two):
    skills = Skills(two, precision="float32")
    asked = {
        name: [row.text for row in facts(two).kept[name].rows[:2]] for name in ("film", "topic")
    }

    def ask(name):
        return [skills.predict(asked[name], task=name, max_new_tokens=6) for _ in range(8)]

    alone = {name: skills.predict(asked[name], task=name, max_new_tokens=6) for name in asked}
    with ThreadPoolExecutor(4) as pool:
        found = {name: pool.submit(ask, name) for name in asked}
    assert all(each == alone[name] for name in asked for each in found[name].result())


def test_a_folder_made_anew_is_loaded_anew(two, tmp_path):
    Skills(two).rollback()
    skills = Skills(two, precision="float32")
    before = skills.load()
    assert skills.load() is before and before[2].mixture.skills == ["film"]
    Skills(two).publish(2)
    other = without_facts(two, tmp_path / "other")
    shutil.rmtree(two)
    other.rename(two)  # its version is called 0001 as well
    assert skills.load()[2].mixture.skills == ["film", "topic"]


def without_facts(source, folder) -> Path:
    """Write the skills of a folder as a run does, without what `learn` tells of them."""
    stored, manifest = read_skills(source), read_version(source)
    assert stored.stages is not None and manifest.stages is not None
    draft = Draft.new(
        manifest.base,
        targets=manifest.targets,
        dtype="float32",
        combine="sum",
        gain=False,
        stages=manifest.stages,
    )
    for card, rows in zip(stored.cards, (slice(0, 4), slice(4, 8)), strict=True):
        tensors = {name: stored.tensors[name][rows] for name in stored.tensors if name[-1] in "ab"}
        draft.add(card, rank=4, alpha=32.0, tensors=tensors, uses=(), extra={})
    draft.write(folder, router=stored.stages, scores={}, publish=True)
    return folder


def test_skills_that_learn_did_not_make_are_said_to_be_unknown(two, llama_folder, tmp_path):
    folder = without_facts(two, tmp_path / "run")
    outcome = learned(folder, llama_folder, "truth", write_table(tmp_path, "truth"))
    assert [each.skill for each in outcome.standing.changes] == ["truth"]
    doubts = outcome.standing.gate.undecided
    assert [line.split(" was not made")[0] for line in doubts[-2:]] == ["film:", "topic:"]
    assert remove(folder, "topic", loading=FLOAT32, max_drop=2.0).version == "0003"


def test_the_words_of_a_kept_vector_can_be_worked_out_as_the_how_to_says():
    rng = torch.Generator().manual_seed(0)
    embedding = torch.randn(5000, 576, generator=rng, dtype=torch.float64)
    ids = torch.randperm(5000, generator=rng)[:20]
    wanted, found = embedding[ids].sum(0), list[int]()
    for _ in ids:  # orthogonal matching pursuit
        chosen = embedding[found].T
        weights = torch.linalg.lstsq(chosen, wanted[:, None]).solution if found else None
        rest = wanted if weights is None else wanted - (chosen @ weights)[:, 0]
        found.append(int((embedding @ rest).abs().argmax()))
    assert {*found} == {*ids.tolist()}


def test_seconds_before_learning_are_not_those_of_looks_while_it_lasts(made):
    found = facts(made).learned["film"].seconds
    assert {"load", "before", "learn", "score", "train", "look"} <= {*found}
    assert found["learn"] >= found["train"]


def test_the_router_learns_from_so_many_rows_at_most():
    rows = [Row("film", str(number), (1,), (2,), "Good") for number in range(ROUTED + 5)]
    drawn = routed_by(rows, 0)
    assert len(drawn) == len({row.row for row in drawn}) == ROUTED
    assert routed_by(rows, 0) == drawn != routed_by(rows, 1)
    assert routed_by(rows[:50], 0) == rows[:50]


def test_with_prompts_in_any_words_a_bare_text_finds_its_skill(tmp_path, llama_folder):
    folder, settings = tmp_path / "skills", QUICK.replace(prompts="any")
    for name in ("film", "topic"):
        learned(folder, llama_folder, name, write_table(tmp_path, name), settings=settings)
    texts = ["a very good film bcda secret-90-film", "the market fell today dcab secret-91-topic"]
    answers = Skills(folder, precision="float32").predict(texts)
    assert [each["task"] for each in answers] == ["film", "topic"]
    with pytest.raises(InputError, match="prompts: it tells prompts worded as 'any'"):
        asked = QUICK.replace(prompts="asked")
        learned(folder, llama_folder, "truth", write_table(tmp_path, "truth"), settings=asked)
