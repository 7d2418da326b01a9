"""From a settings file to answers, on a tiny model: run, ls, show, report, predict."""

import json
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import dynamic_module_utils

from amlora.cli.run import adapted_line
from command import amlora, said
from small_run import small_settings, write_tasks


class Place:
    """A settings file, a folder of runs, and one finished run in it."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder = folder
        write_tasks(folder / "data")
        self.config = folder / "small.toml"
        self.config.write_text(small_settings(folder / "data", model))
        self.runs = folder / "runs"
        self.status, out, self.said = amlora("run", self.config, "--runs", self.runs)
        self.run = Path(out.strip())


@pytest.fixture(scope="module")
def place(tmp_path_factory, llama_folder) -> Place:
    return Place(tmp_path_factory.mktemp("place"), llama_folder)


def test_a_run_prints_its_folder_and_tells_each_stage(place):
    assert place.status == 0, place.said
    assert place.run.parent == place.runs
    assert place.run.name.startswith("small-am_lora-")
    assert "[1/2] feel: 3 steps" in place.said
    assert "[2/2] topic: step 3/3, loss " in place.said


def test_a_finished_run_is_not_done_again_and_quiet_says_nothing_but_its_folder(place):
    before = (place.run / "record.json").stat().st_mtime_ns
    status, out, err = amlora("run", place.config, "--runs", place.runs)
    assert (status, Path(out.strip())) == (0, place.run)
    assert "finished already" in err and "step" not in err
    words = ("run", place.config, "--runs", place.runs, "-q")
    assert amlora(*words) == (0, f"{place.run}\n", "")
    assert (place.run / "record.json").stat().st_mtime_ns == before


def test_the_dry_run_shows_the_folder_prompts_steps_and_needs(place):
    out = said("run", place.config, "--dry-run")
    for part in ("What is the sentiment?", "memory, estimated", "majority, %", "[train]"):
        assert part in out
    assert "\nadapted: q_proj, v_proj\n" in out
    assert json.loads(said("run", place.config, "--dry-run", "--json"))["run"] == place.run.name


def test_a_projection_that_holds_the_key_too_is_said_to():
    held = {"projections": ["c_attn"], "with_key": ["c_attn"]}
    line = "adapted: c_attn; c_attn: query, key and value in one, so the key as well"
    assert adapted_line(held) == line


def test_ls_shows_the_run(place):
    header, row = said("ls", place.runs).splitlines()
    assert header.split()[0] == "RUN"
    assert row.split()[:4] == [place.run.name, "am_lora", "1", "finished"]
    (run,) = json.loads(said("ls", place.runs, "--json"))
    assert run["folder"] == str(place.run) and 0 <= run["average"] <= 1
    assert json.loads(said("ls", place.run, "--json")) == [run]


def test_a_packed_run_is_listed_and_shown_and_has_no_skills(place, tmp_path):
    pack = tmp_path / "study"
    assert said("pack", place.runs, pack).endswith("every seal and digest holds.\n")
    shown = said("show", place.run).splitlines()[2:]
    for name in (place.run.name, "small-*"):
        assert said("ls", pack / name).splitlines()[1].split()[0] == place.run.name
        assert said("show", pack / name).splitlines()[2:] == shown
    status, _, err = amlora("predict", pack / place.run.name, "text", "--raw")
    assert (status, err.count("\n")) == (2, 1) and "in a pack, which holds results" in err


def test_a_folder_without_runs_is_an_empty_list_and_packs_in_it_are_named(tmp_path):
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "runs.jsonl").write_text("")
    status, out, err = amlora("ls", tmp_path)
    assert (status, out) == (0, "")
    assert err == f"{tmp_path}: no runs, but packs of runs: study\n"
    line = f"amlora: {tmp_path}: no runs, but packs of runs; name one: study.\n"
    assert amlora("show", tmp_path)[::2] == (2, line)


def test_show_has_matrix_metrics_stages_and_settings_and_as_json_the_whole_record(place):
    out = said("show", "small", "--runs", place.runs)
    for part in ("feel", "topic", "average", "forgetting", "3 steps, 8 rows", "[method.lora]"):
        assert part in out
    shown = json.loads(said("show", place.run, "--json"))
    assert shown["record"] == json.loads((place.run / "record.json").read_text())
    assert shown["measured"]["versions"]["torch"]


def test_altered_rows_are_refused_by_show_and_report_and_marked_by_ls(place, tmp_path):
    copy = shutil.copytree(place.run, tmp_path / "runs" / place.run.name)
    with (copy / "rows.jsonl").open("a") as rows:
        rows.write("{}\n")
    line = f"amlora: {copy}/rows.jsonl: altered; its sha256 is not the one in record.json.\n"
    assert amlora("show", copy)[::2] == (2, line)
    assert amlora("report", copy, "--out", tmp_path / "x.html")[::2] == (2, line)
    assert not (tmp_path / "x.html").exists()
    status, out, _ = amlora("ls", tmp_path / "runs")
    assert status == 0
    assert "damaged" in out.splitlines()[1]


def test_predict_finds_a_run_by_the_start_of_its_name_and_answers_one_text(place):
    words = ("--max-new-tokens", 2, "--runs", place.runs, "--json")
    for task in ("--raw", "--task=feel"):
        (answer,) = json.loads(said("predict", "small", "a good film", task, *words))
        assert answer["task"] == (None if task == "--raw" else "feel")
        assert answer["text"] == "a good film" and isinstance(answer["answer"], str)


def test_predict_chooses_among_the_tasks_options(place, tmp_path):
    texts = tmp_path / "texts.jsonl"
    texts.write_text('{"text": "the team won"}\n{"text": "the market fell"}\n')
    words = ("--file", texts, "--task", "topic", "--choose", "--json")
    for answer in json.loads(said("predict", place.run, *words)):
        assert set(answer["shares"]) == {"Business", "Sports"}
        assert sum(answer["shares"].values()) == pytest.approx(1, abs=1e-5)
        assert answer["shares"][answer["answer"]] == max(answer["shares"].values())


def test_predict_computes_in_the_precision_that_is_asked_for(place):
    shares = {}
    for precision in ("float32", "bfloat16"):
        words = ("--task", "topic", "--choose", "--device", "cpu", "--precision", precision)
        out = said("predict", place.run, "the team won", *words, "--json")
        shares[precision] = json.loads(out)[0]["shares"]
    assert shares["bfloat16"] != shares["float32"]
    assert shares["bfloat16"] == pytest.approx(shares["float32"], abs=0.05)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is such a device")
def test_predict_on_a_device_that_is_not_there_is_one_line(place):
    status, _, err = amlora("predict", place.run, "text", "--raw", "--device", "cuda")
    line = "model.device is 'cuda' but torch sees no such device; use 'cpu' or 'auto'."
    assert (status, err) == (2, f"amlora: {line}\n")


def test_predict_runs_the_base_models_own_code_only_if_it_is_trusted(
    place, llama_folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    base = shutil.copytree(llama_folder, tmp_path / "base")
    config = json.loads((base / "config.json").read_text())
    config["auto_map"] = {"AutoModelForCausalLM": "own.OwnModel"}
    (base / "config.json").write_text(json.dumps(config))
    (base / "own.py").write_text('raise RuntimeError("its own code was run")\n')
    words = ("predict", place.run, "text", "--raw", "--max-new-tokens", 1, "--base", base)
    said(*words)
    status, _, err = amlora(*words, "--trust-remote-code")
    assert (status, err.count("\n")) == (2, 1)
    assert "its own code was run" in err


def test_predict_answers_each_line_or_row_of_a_file_in_its_place(place, tmp_path):
    lines, table = tmp_path / "texts.txt", tmp_path / "texts.csv"
    lines.write_text("the team won\n\nthe market fell\n")
    table.write_text('id,text\n1,the team won\n2,""\n3,the market fell\n')
    for file in (lines, table):
        words = ("--file", file, "--task", "topic", "--choose")
        first, second, third = said("predict", place.run, *words).splitlines()
        assert second == "" and {first, third} <= {"Business", "Sports"}
        made = json.loads(said("predict", place.run, *words, "--json"))
        assert [each["answer"] for each in made] == [first, None, third]
        assert made[1] == {"task": "topic", "text": None, "answer": None}


def test_predict_puts_texts_together_as_the_run_did(place, tmp_path):
    form = 'stream.tasks[0].forms=["{text} of {label}"]'
    run = said("run", place.config, "--runs", tmp_path, "-q", "--set", form).strip()
    table = tmp_path / "texts.csv"
    table.write_text("label,text\nit,a good film\n")
    words = ("--file", table, "--task", "feel", "--choose", "--json")
    assert json.loads(said("predict", run, *words))[0]["text"] == "a good film of it"


def test_predict_says_what_was_shortened_and_which_answers_had_not_ended(
    place, llama_folder, tmp_path
):
    base = shutil.copytree(llama_folder, tmp_path / "base")  # with room for an answer
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 1024}))
    texts = tmp_path / "texts.txt"
    texts.write_text(f"a good film\n{'the team won ' * 300}\n")
    words = ("--file", texts, "--task", "feel", "--max-new-tokens", 2, "--base", base, "--json")
    status, out, err = amlora("predict", place.run, *words)
    assert status == 0, err
    short, long = json.loads(out)
    assert short["shortened"] == 0 < long["shortened"] < 3900
    assert (
        "warning: predict: 1 of 2 given texts are longer than model.max_tokens = 512 allows and"
        f" were shortened, by {long['shortened']} characters at most.\n"
    ) in err
    cut = sum(not each["ended"] for each in (short, long))
    assert cut == 0 or f"predict: {cut} of 2 answers had not ended after 2 tokens;" in err


def test_options_that_a_full_prompt_leaves_no_room_for_are_refused(place):
    words = ("the team won " * 300, "--task", "feel", "--choose")
    status, out, err = amlora("predict", place.run, *words)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert " has 512 positions and text 1 takes 512 of them" in err


def test_an_answer_beyond_the_models_positions_is_refused_before_it_is_generated(place):
    words = ("a good film", "--raw", "--max-new-tokens", 600)
    status, out, err = amlora("predict", place.run, *words)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("amlora: --max-new-tokens: 600, but ")
    assert err.endswith(
        " has 512 positions and text 1 takes 4 of them with its words; at most 508.\n"
    )


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("text", "--task: {run} learned feel, topic; name one, or send the text --raw."),
        ("text --task fel", "--task: {run} has no task 'fel'; did you mean 'feel'?"),
        ("text --task feel --raw", "--raw and --task exclude each other."),
        ("text --raw --choose", "--choose: --raw has no options to choose from."),
        ("--task feel", "give a TEXT, or --file FILE."),
        ("text --file x --task feel", "TEXT and --file exclude each other; give one."),
        ("--file absent.txt --task feel", "absent.txt: no such file"),
        ("text --task feel --batch 0", "Invalid value for '--batch':"),
        ("text --task feel --device gpu", "Invalid value for '--device':"),
        ("text --task feel --precision half", "Invalid value for '--precision':"),
    ],
)
def test_wrong_input_to_predict_is_one_line(place, tmp_path, monkeypatch, words, line):
    monkeypatch.chdir(tmp_path)
    status, out, err = amlora("predict", place.run, *words.split())
    assert (status, out) == (2, "")
    assert err.startswith(f"amlora: {line.format(run=place.run)}")
    assert err.count("\n") == 1


def test_predict_without_skills_is_one_line(place, tmp_path):
    status, _, err = amlora("predict", tmp_path, "text", "--raw")
    assert status == 2
    assert err.startswith(f"amlora: {tmp_path}: no skills here")


def test_force_does_a_run_again(place, tmp_path):
    words = ("run", place.config, "--runs", tmp_path, "--method", "sin_lora", "-q")
    first = Path(amlora(*words)[1].strip()) / "record.json"
    before = first.stat().st_mtime_ns
    assert amlora(*words, "--force")[0] == 0
    assert first.stat().st_mtime_ns > before


def test_an_unknown_place_for_the_model_is_one_line(place):
    status, _, err = amlora("run", place.config, "--set", "model.name=./absent")
    assert (status, err) == (2, "amlora: model.name: there is no folder or GGUF file './absent'.\n")


def test_an_interrupted_run_says_how_to_go_on_and_goes_on(place, tmp_path):
    words = ["run", str(place.config), "--runs", str(tmp_path), "--set", "train.steps=60", "-v"]
    command = [sys.executable, "-m", "amlora", *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "step 2/60" in line:
                break
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait() == 130
    last = f"amlora: interrupted; to go on: {shlex.join(['amlora', *words])}"
    assert rest.splitlines()[-1] == last
    assert "Traceback" not in rest
    assert "unfinished" in amlora("ls", tmp_path)[1]
    status, _, err = amlora(*words)
    assert status == 0
    assert "goes on at task 1" in err and "feel: step 1/60" not in err
    assert "unfinished" not in amlora("ls", tmp_path)[1]


def test_doctor_and_config_print_json(place):
    model = json.loads(place.run.joinpath("record.json").read_text())["model"]["name"]
    assert json.loads(said("doctor", "--model", model, "--json"))["problems"] == []
    assert json.loads(said("config", "list", "--json"))[0]["name"]
    assert json.loads(said("config", "check", place.config, "--json"))["train"]["steps"] == 3


def test_doctor_says_what_is_wrong_and_exits_with_1(tmp_path):
    status, out, _ = amlora("doctor", "--model", tmp_path)
    assert status == 1
    assert f"problem: model {tmp_path}: no model there" in out
