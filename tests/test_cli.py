"""The command line from outside: screens, exit codes, JSON, and what goes to which stream.

Most run `main` in this process; what is of the process itself (pipes, signals, `-m`) runs
in one of its own.
"""
from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastsm
from fastsm import cli, errors
from fastsm._core import delimited
from fastsm.cli import COMMON, VERBS

from .conftest import CorpusEntry, ModelFactory
from .models import MODELS
from .oracle import ROOT

EXAMPLES = ROOT / "examples"


class Done(NamedTuple):
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Done]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """`main` in this process."""

    def command(*words: str) -> Done:
        with pytest.raises(SystemExit) as ended:
            cli.main([*words])
        out, err = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Done(ended.value.code, out, err)

    return command


def process(*words: str, **how: Any) -> Done:
    """`python -m fastsm` in a process of its own."""
    how.setdefault("env", {**os.environ, "PYTHONPATH": str(ROOT)})
    done = subprocess.run(
        [sys.executable, "-m", "fastsm", *words], capture_output=True, text=True, **how
    )
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: copies of the examples, `ranker` and `tagger`."""
    for name in ("ranker", "tagger"):
        shutil.copytree(EXAMPLES / name / "1", tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


# -- help and usage --------------------------------------------------------------------


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"]])
def test_help_lists_the_verbs_and_the_exit_codes(run: Run, words: list[str]) -> None:
    done = run(*words)
    assert done.code == 0 and not done.err
    for verb in VERBS:
        assert f"\n  {verb} " in done.out
    for code in {e.exit_code for e in all_errors()}:
        assert str(code) in done.out


def test_no_words_is_help_and_wrong(run: Run) -> None:
    done = run()
    assert done.code == 2 and done.out.startswith("usage: fastsm VERB")


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb_has_every_option_and_an_example(run: Run, verb: str) -> None:
    done = run(verb, "--help")
    assert done.code == 0 and not done.err
    for flags, how in [*cli._module(verb).OPTIONS, *COMMON]:
        assert all(flag in done.out for flag in flags if flag.startswith("-"))
        assert how["help"], flags
    assert f"\n  fastsm {verb} " in done.out.partition("\nexample:")[2]
    assert max(map(len, done.out.splitlines())) <= 88


def test_version(run: Run) -> None:
    import fastsm

    assert run("--version") == (0, f"fastsm {fastsm.__version__}\n", "")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["sho"], "there is no verb 'sho'\n  Did you mean fastsm show?"),
        (["x\x1b[1m"], "there is no verb 'x\\\\x1b[1m'"),
        (["show"], "say which model: fastsm show PATH"),
        (["show", "a", "b"], "fastsm show takes no argument b"),
        (["show", "ranker", "--signatur=x"], "no option --signatur=x; did you mean --signature?"),
        (["show", "ranker", "--dir", "tagger"], "PATH and --dir name two models"),
        (["show", "ranker", "--tags"], "argument --tags: expected one argument"),
        (["retag", "ranker", "serve"], "the following arguments are required: NEW"),
        (["undo", "ranker"], "the following arguments are required: BACKUP"),
        (["retag", "ranker", "serve", "gpu", "--out", "o", "--backup", "b"], "nothing to back up"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_calls(run: Run, here: Path, words: list[str], text: str) -> None:
    done = run(*words)
    assert (done.code, done.out) == (2, "")
    assert text in done.err and done.err.startswith("fastsm: ")
    asked = run(*words, "--json")
    assert asked.code == 2 and asked.json["error"]["type"] == "UsageError"


# -- two readers of options, one answer ------------------------------------------------


def words_for(verb: str) -> st.SearchStrategy[list[str]]:
    options = [*cli._module(verb).OPTIONS, *COMMON]
    flags = [flag for names, _ in options for flag in names if flag.startswith("-")]
    value = st.sampled_from(["serve", "", "a b", "export/1", "=", "-", "-1", "--"])
    joined = st.builds(lambda flag, value: f"{flag}={value}", st.sampled_from(flags), value)
    return st.lists(st.one_of(st.sampled_from(flags), value, joined), max_size=8)


@pytest.mark.parametrize("verb", VERBS)
@given(data=st.data())
def test_both_readers_of_options_agree(verb: str, data: st.DataObject) -> None:
    words = data.draw(words_for(verb))
    module = cli._module(verb)
    plain = cli.parse_plain(module, words)
    if plain is not None:
        assert vars(plain) == vars(cli._parse(verb, module, words))


@pytest.mark.parametrize(
    "words",
    [
        ["show", "m"],
        ["show", "m", "--json"],
        ["show", "--tags", "serve", "m", "--signature", "x"],
        ["show", "--dir", "m", "--tag_set", "serve", "--signature_def", "x", "--all"],
        ["retag", "m", "a", "b", "--out", "o", "--dry-run", "--no-sync", "--receipt", "r"],
        ["retag", "m", "", "b"],
        ["remove-signature", "m", "a", "b", "--in-place", "c"],
        ["add-signature", "m", "k", "--input", "a=b", "--output", "c=d", "--input", "e=f"],
        ["undo", "m", "b", "--quiet"],
    ],
    ids=" ".join,
)
def test_plain_spellings_need_no_argparse(words: list[str]) -> None:
    module = cli._module(words[0])
    plain = cli.parse_plain(module, words[1:])
    assert plain is not None
    assert vars(plain) == vars(cli._parse(words[0], module, words[1:]))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("-x", "a"), ("--tags", "--force"), ("--", "-"), ("$HOME `id` !", "'\"\\ \n"), ("a b", ""),
        ("\u00e9", "e\u0301"), ("--in-place", "$'"),
    ],
)  # fmt: skip
def test_the_command_that_takes_back_can_be_pasted(here: Path, old: str, new: str) -> None:
    before = (here / "ranker/saved_model.pb").read_bytes()
    with fastsm.edit(here / "ranker") as e:
        e.retag("serve", "-serve")
        e.rename_signature("serving_default", old)
        e.rename_signature(old, new)
        e.copy_signature(new, "serving_default", tags="-serve")
    assert e.result is not None
    paste(e.result.undo)
    assert (here / "ranker/saved_model.pb").read_bytes() == before


def test_a_tag_set_in_the_command_that_takes_back_is_no_option(here: Path) -> None:
    before = (here / "tagger/saved_model.pb").read_bytes()
    with fastsm.edit(here / "tagger") as e:
        e.retag("serve", "-serve")
        e.rename_signature("serving_default", "-x", tags="-serve")
        e.rename_signature("-x", "a")
        e.rename_signature("a", "serving_default")
    assert e.result is not None and e.result.undo is not None
    assert "--tags=-serve" in e.result.undo
    paste(e.result.undo)
    assert (here / "tagger/saved_model.pb").read_bytes() == before


def paste(line: str | None) -> None:
    """Run a line that fastsm printed in a shell."""
    assert line is not None
    fastsm_here = f'fastsm() {{ "{sys.executable}" -m fastsm "$@"; }}; '
    done = subprocess.run(
        ["bash", "-c", fastsm_here + line], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, (line, done.stderr)


def test_words_behind_two_dashes_are_names(run: Run, here: Path) -> None:
    assert run("copy-signature", "ranker", "serving_default", "--", "-x").code == 0
    assert run("rename-signature", "--quiet", "--", "ranker", "-x", "--json").code == 0
    done = run("remove-signature", "ranker", "--in-place", "--", "--json", "-y")
    assert done.code == 4 and 'no signature "-y"' in done.err
    done = run("rename-signature", "ranker", "--", "-x", "-y", "-z")
    assert done.code == 2 and "takes no argument" in done.err


# -- errors ----------------------------------------------------------------------------


def all_errors() -> list[type[errors.FastsmError]]:
    found = [errors.FastsmError]
    for kind in found:
        found += kind.__subclasses__()
    return found[1:]


def an_error(kind: type[errors.FastsmError], hint: str | None = None) -> errors.FastsmError:
    more = {"on_disk": "old"} if kind is errors.CommitError else {}
    return kind("a/model", "is not well", offset=12345, place="x[0]", hint=hint, **more)


@pytest.mark.parametrize("kind", all_errors(), ids=lambda kind: kind.__name__)
def test_every_error_has_its_exit_code_and_its_object(
    run: Run, kind: type[errors.FastsmError], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(args: cli.Arguments) -> int:
        raise an_error(kind, "Do this.")

    monkeypatch.setattr(cli._module("show"), "run", fail)
    done = run("show", "a/model")
    assert (done.code, done.out) == (kind.exit_code, "")
    first, hint = done.err.splitlines()
    assert first.startswith("fastsm: a/model: is not well (byte 12,345, x[0])")
    assert hint == "  Do this."
    assert ("The model on disk is the old one" in first) == (kind is errors.CommitError)

    done = run("show", "a/model", "--json")
    assert done.code == kind.exit_code
    error = done.json["error"]
    assert done.json["schema"] == "fastsm.error/1"
    assert error.pop("on_disk", "old") == "old"
    assert error == {
        "type": kind.__name__, "exit_code": kind.exit_code, "path": "a/model",
        "problem": "is not well", "offset": 12345, "place": "x[0]", "hint": "Do this.",
    }  # fmt: skip


def test_a_bug_is_seventy_and_asks_for_a_report(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(args: cli.Arguments) -> int:
        raise ZeroDivisionError("by \x1b[1mnothing")

    monkeypatch.setattr(cli._module("show"), "run", fail)
    done = run("show", "m")
    assert done.code == 70 and not done.out
    assert "ZeroDivisionError: by \\x1b[1mnothing" in done.err
    assert "bug in fastsm" in done.err and "--debug" in done.err and "Traceback" not in done.err
    assert run("show", "m", "--json").json["error"]["type"] == "InternalError"
    assert "Traceback" in run("show", "m", "--debug").err


def test_debug_shows_where_an_error_came_from(run: Run) -> None:
    done = run("show", "nowhere", "--debug")
    assert done.code == 4
    assert "Traceback" in done.err and "MissingError" in done.err


def test_an_interruption_is_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(args: cli.Arguments) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli._module("show"), "run", stop)
    assert run("show", "m") == (130, "", "fastsm: interrupted\n")


def test_a_signal_interrupts_and_nothing_else_is_said() -> None:
    program = (
        "import signal, sys, time; from fastsm import cli; from fastsm.cli import show\n"
        # A job in the background begins with this signal ignored.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "show.run = lambda args: (print('ready', flush=True), time.sleep(60))\n"
        "sys.argv = ['fastsm', 'show', 'm']; cli.main()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, cwd=ROOT,
    )  # fmt: skip
    with child:
        assert child.stdout and child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGINT)
        _, err = child.communicate()
    assert (child.returncode, err) == (130, "fastsm: interrupted\n")


@pytest.mark.parametrize("words", [["show"], ["show", "--json"], ["show", "--all"], ["--help"]])
def test_a_reader_that_goes_away_is_no_error(words: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    words = [*words, str(EXAMPLES / "tagger" / "1")] if words[0] == "show" else words
    with os.fdopen(write) as gone:
        done = subprocess.run(
            [sys.executable, "-m", "fastsm", *words], stdout=gone, stderr=subprocess.PIPE, cwd=ROOT
        )
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_output_that_cannot_be_written_is_said() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "fastsm", "show", str(EXAMPLES / "ranker" / "1")],
            stdout=full, stderr=subprocess.PIPE, cwd=ROOT, text=True,
        )  # fmt: skip
    text = "fastsm: the output cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (6, text)


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
@pytest.mark.parametrize(("path", "code"), [("examples/ranker/1", 0), ("nowhere", 4)])
def test_closed_streams_are_no_error(closed: str, path: str, code: int) -> None:
    command = f"{sys.executable} -m fastsm show {path} {closed}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == code
    assert (done.stdout != "") == (code == 0 and closed == "2>&-")
    assert (done.stderr != "") == (code == 4 and closed == ">&-")


def test_a_name_that_the_encoding_has_not_is_escaped(tmp_path: Path) -> None:
    tags = delimited(1, delimited(4, "größe".encode()))
    (tmp_path / "saved_model.pb").write_bytes(b"\x08\x01" + delimited(2, tags))
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
    done = process("show", str(tmp_path), env=env)
    assert done.code == 0 and "{gr\\xf6\\xdfe}" in done.out


def test_as_a_module_and_outside_the_checkout(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES / "ranker" / "1", tmp_path / "m")
    done = process("show", "m", cwd=tmp_path)
    assert done.code == 0 and done.out.startswith("m   SavedModel") and not done.err
    done = process("show", "n", cwd=tmp_path)
    assert (done.code, done.out) == (4, "") and done.err.startswith("fastsm: n: ")


# -- what is no model ------------------------------------------------------------------

GRAPH_DEF = delimited(1, delimited(1, b"x") + delimited(2, b"Placeholder")) * 412

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 43599\n"

#: What lies in m/saved_model.pb, and what `fastsm show m` says of it.
NOT_A_MODEL = {
    "frozen": (
        GRAPH_DEF,
        "m/saved_model.pb: is a GraphDef (frozen graph), not a SavedModel: 412 nodes, "
        "no meta graph.\n  fastsm convert FILE makes a SavedModel of it.",
    ),
    "lfs": (LFS, "m/saved_model.pb: is a Git LFS pointer (130 bytes)\n  Run: git lfs pull"),
    "labels": (
        b"item {\n  id: 1\n  name: 'cat'\n}\n",
        "m/saved_model.pb: is a label map in text format, not a SavedModel",
    ),
    "empty": (b"", "m/saved_model.pb: is empty (0 bytes)\n  Copy or export the model again."),
}


@pytest.mark.parametrize("name", NOT_A_MODEL)
def test_what_is_no_model_is_told(run: Run, here: Path, name: str) -> None:
    data, text = NOT_A_MODEL[name]
    (here / "m").mkdir()
    (here / "m" / "saved_model.pb").write_bytes(data)
    assert run("show", "m") == (3, "", f"fastsm: {text}\n")
    for verb in (["retag", "m", "serve", "gpu"], ["show", "--dir", "m"]):
        assert run(*verb) == (3, "", f"fastsm: {text}\n")
    error = run("show", "m", "--json").json["error"]
    assert (error["type"], error["exit_code"]) == ("FormatError", 3)


def test_a_truncated_model_is_told_with_its_bytes(run: Run, here: Path) -> None:
    file = here / "ranker" / "saved_model.pb"
    file.write_bytes(file.read_bytes()[:5000])
    done = run("show", "ranker")
    assert done.code == 3
    assert done.err.startswith(
        "fastsm: ranker/saved_model.pb: ends at byte 5,000; meta_graphs[0].graph_def needs "
    )
    assert done.err.endswith("Partial download?\n")


def test_a_folder_too_high_is_told_with_the_command(run: Run, here: Path) -> None:
    for version in ("1", "3"):
        shutil.copytree(here / "ranker", here / "served" / version)
    text = "no saved_model.pb here; versions 1, 3 lie below. Try: fastsm show served/3"
    assert run("show", "served") == (3, "", f"fastsm: served: {text}\n")


def test_archives_urls_and_chunks_are_unsupported(run: Run, here: Path) -> None:
    (here / "model.tar.gz").write_bytes(b"\x1f\x8b")
    done = run("show", "model.tar.gz")
    assert done == (7, "", "fastsm: model.tar.gz: is an archive: extract it first\n")
    done = run("show", "gs://bucket/model")
    assert done == (7, "", "fastsm: gs:// paths are not read yet: copy the model here\n")
    (here / "m").mkdir()
    (here / "m" / "saved_model.cpb").write_bytes(b"x")
    done = run("show", "m")
    assert done.code == 7 and "m/saved_model.cpb: is a model in chunks (.cpb)" in done.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_is_told(run: Run, here: Path) -> None:
    (here / "ranker" / "saved_model.pb").chmod(0)
    done = run("show", "ranker")
    assert done.code == 3
    assert "ranker/saved_model.pb: cannot be read: Permission denied" in done.err


def test_typos_are_met_with_the_nearest_name(run: Run, here: Path) -> None:
    done = run("show", "ranker", "--signature", "serving_defualt")
    assert done.code == 4
    assert 'no signature "serving_defualt" in {serve}. Did you mean serving_default?' in done.err
    assert "It has: rank, serving_default" in done.err
    done = run("show", "ranker", "--tags", "gpu")
    assert done.code == 4 and "tag set {gpu}; tag sets here: {serve}" in done.err
    done = run("show", "rankr")
    assert done.code == 4 and "there is nothing here\n  Did you mean ranker?" in done.err


# -- names from a model ----------------------------------------------------------------

NASTY = "\x1b[31mred\x07\r\n\u202eevil\u2066\u200b\x9b2J"


def nasty_model(folder: Path) -> Path:
    """A model whose every name would act on a terminal."""
    name = NASTY.encode()
    tensor = delimited(1, name) + b"\x10\x01" + delimited(3, b"\x18\x01")
    signature = delimited(1, delimited(1, name) + delimited(2, tensor))
    signature += delimited(2, delimited(1, name) + delimited(2, tensor)) + delimited(3, name)
    node = delimited(1, name) + delimited(2, name)
    function = delimited(1, delimited(1, name)) + delimited(3, node)
    graph = delimited(1, node) + delimited(2, delimited(1, function))
    asset = delimited(1, delimited(1, name)) + delimited(2, name)
    info = delimited(4, name) + delimited(5, name)
    meta_graph = delimited(1, info) + delimited(2, graph)
    meta_graph += delimited(5, delimited(1, name) + delimited(2, signature)) + delimited(6, asset)
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"\x08\x01" + delimited(2, meta_graph))
    (folder / NASTY.replace("\x07", "")).write_bytes(b"x")
    return folder


@pytest.mark.parametrize(
    "words",
    [
        ["show", "."],
        ["show", ".", "--signature", NASTY],
        ["show", ".", "--functions", "--ops"],
        ["show", ".", "--all"],
        ["show", ".", "--json"],
        ["show", ".", "--json", "--ops", "--functions"],
        ["show", "--dir", "."],
        ["retag", ".", "gpu", "serve"],
        ["retag", ".", NASTY, "serve", "--dry-run"],
        ["retag", ".", NASTY, NASTY + "," + NASTY + "x"],
        ["show", ".", "--signature", NASTY + "x"],
        ["show", ".", "--tags", NASTY + "x"],
        ["show", NASTY],
    ],
    ids=lambda words: " ".join(w for w in words if w.isascii() and w.isprintable()),
)
def test_no_name_acts_on_the_terminal(
    run: Run, tmp_path: Path, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(nasty_model(tmp_path / "m"))
    done = run(*words)
    assert done.code in (0, 4)
    for text in (done.out, done.err):
        bad = {c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp")} - {"\n"}
        assert not bad
    if "--json" in words:
        assert NASTY in done.json["meta_graphs"][0]["signatures"]


# -- show ------------------------------------------------------------------------------

#: What a `fastsm.show/1` record has, and a meta graph in it.
RECORD = {
    "schema": str, "path": str, "format": str, "kind": str, "bytes": int, "files": list,
    "variables": dict | None, "fingerprint": dict | None, "meta_graphs": list, "notes": list,
}  # fmt: skip
META_GRAPH = {
    "index": int, "tags": list, "tensorflow_version": str, "signatures": dict, "assets": list,
    "init_op": dict | None, "saver": dict | None, "nodes": int, "functions": int,
    "function_nodes": int, "objects": int | None, "collections": list, "load": dict,
}  # fmt: skip
TENSOR = {"name": str, "dtype": str, "shape": list | None}


def check_record(record: dict[str, Any]) -> None:
    assert record["schema"] == "fastsm.show/1"
    check_fields(record, RECORD)
    for graph in record["meta_graphs"]:
        check_fields(graph, META_GRAPH)
        assert set(graph["load"]) == {"python", "serving", "hidden_by"}
        for signature in graph["signatures"].values():
            assert isinstance(signature["method_name"], str)
            for tensor in [*signature["inputs"].values(), *signature["outputs"].values()]:
                check_fields(tensor, TENSOR)
                assert all(d is None or d >= 0 for d in tensor["shape"] or ())
    for entry in record["files"]:
        check_fields(entry, {"name": str, "bytes": int, "files": int})
    if record["variables"]:
        assert set(record["variables"]) == {
            "variables", "bytes", "shards", "doubled", "doubled_bytes", "problems"
        }  # fmt: skip
    if record["fingerprint"]:
        hashes = [v for k, v in record["fingerprint"].items() if k.endswith(("_hash", "_checksum"))]
        assert len(hashes) == 5 and all(0 <= int(h) < 1 << 64 for h in hashes)


def check_fields(value: dict[str, Any], fields: dict[str, Any]) -> None:
    for name, kind in fields.items():
        assert isinstance(value[name], kind), (name, value[name])


def check_shows(run: Run, path: Path) -> None:
    """Every way to show a model ends well."""
    done = run("show", str(path))
    assert done.code == 0 and not done.err, done.err
    assert done.out.startswith(f"{path}   SavedModel, ") and done.out.endswith("\n")
    for flags in ([], ["--fingerprint"], ["--functions", "--ops"]):
        done = run("show", str(path), "--json", *flags)
        assert done.code == 0 and not done.err, done.err
        check_record(done.json)
    assert run("show", str(path), "--quiet") == (0, "", "")
    assert run("show", "--dir", str(path)).code == 0


EVERY = [name for name in MODELS if name != "no_meta_graphs"]


@pytest.mark.parametrize("name", EVERY)
def test_show_of_every_model(run: Run, model: ModelFactory, name: str) -> None:
    check_shows(run, model(name))


def test_show_of_every_corpus_model(run: Run, corpus_model: CorpusEntry) -> None:
    if corpus_model.catalog["parse_error"]:
        done = run("show", str(corpus_model.path))
        assert done.code == 3 and done.err.startswith(f"fastsm: {corpus_model.path}")
        return
    check_shows(run, corpus_model.path)


@pytest.mark.parametrize("name", ["ranker", "tagger"])
def test_show_of_the_examples(run: Run, here: Path, name: str) -> None:
    check_shows(run, here / name)


def test_show_filters(run: Run, here: Path) -> None:
    record = run("show", "tagger", "--tags", "serve", "--json").json
    assert [g["tags"] for g in record["meta_graphs"]] == [["serve"]]
    assert record["meta_graphs"][0]["index"] == 1
    record = run("show", "ranker", "--signature", "rank", "--json").json
    assert record["signature"] == "rank"
    assert list(record["meta_graphs"][0]["signatures"]) == ["rank"]
    done = run("show", "ranker", "--signature", "rank")
    assert "tensor rank_items:0" in done.out and "serving_default" not in done.out


def test_show_takes_the_path_by_name_or_by_flag(run: Run, here: Path) -> None:
    for flags in (["--all"], ["--tag_set", "serve"], ["--tag_set", "serve", "--list_ops"]):
        by_name, by_flag = run("show", "ranker", *flags), run("show", "--dir", "ranker", *flags)
        assert by_name == by_flag and by_name.code == 0
    assert run("show", "ranker", "--dir", "ranker") == run("show", "--dir", "ranker")


def test_saved_model_clis_text_and_json_exclude_each_other(run: Run, here: Path) -> None:
    done = run("show", "ranker", "--all", "--json")
    assert done.code == 2 and done.json["error"]["type"] == "UsageError"


@pytest.mark.parametrize("damage", ["flipped", "empty", "cut", "zeros"])
@pytest.mark.parametrize("name", ["fingerprint.pb", "variables/variables.index"])
def test_damage_beside_the_model_is_a_note(run: Run, here: Path, name: str, damage: str) -> None:
    file = here / "ranker" / name
    whole = file.read_bytes()
    middle = len(whole) // 2
    file.write_bytes(
        {
            "flipped": whole[:middle] + bytes([whole[middle] ^ 0xFF]) + whole[middle + 1 :],
            "empty": b"",
            "cut": whole[:middle],
            "zeros": bytes(len(whole)),
        }[damage]
    )
    done = run("show", "ranker", "--fingerprint")
    assert done.code == 0 and not done.err
    assert "{serve}" in done.out and "serving_default" in done.out
    if name != "fingerprint.pb" or damage in ("cut", "zeros"):
        assert "note: " in done.out.replace("note: 3 variables", "")
    record = run("show", "ranker", "--json").json
    check_record(record)


def test_files_that_are_no_files_beside_the_model_are_notes(run: Run, here: Path) -> None:
    for name in ("fingerprint.pb", "variables/variables.index"):
        (here / "ranker" / name).unlink()
        (here / "ranker" / name).mkdir()
    done = run("show", "ranker")
    assert done.code == 0 and done.out.count("note: ") >= 2


# -- retag and undo --------------------------------------------------------------------

SCREEN = """\
ranker   {serve} -> {gpu, serve}
  fingerprint.pb    rewritten
  saved_model.pb    43,599 -> 43,604 bytes
  untouched         variables/ (2 files, 8.0 kB)
"""
WARNING = """\
warning: tags match as a whole set, so loaders that ask for {serve} now fail
  TF Serving: --saved_model_tags=gpu,serve
"""


def test_retag_tells_what_it_did_and_how_to_take_it_back(run: Run, here: Path) -> None:
    before = contents(here / "ranker")
    done = run("retag", "ranker", "serve", "serve,gpu")
    assert done.out == SCREEN + "undo: fastsm retag ranker gpu,serve serve\n"
    assert done.err == WARNING and done.code == 0
    assert run("show", "ranker", "--json").json["meta_graphs"][0]["tags"] == ["gpu", "serve"]
    assert run("retag", "ranker", "gpu,serve", "serve").code == 0
    after = contents(here / "ranker")
    fingerprint = str(here / "ranker" / "fingerprint.pb")
    del before[fingerprint], after[fingerprint]  # its uuid was drawn, and is derived now
    assert after == before


def test_a_dry_run_prints_what_the_run_prints_and_writes_nothing(run: Run, here: Path) -> None:
    before = contents(here)
    done = run("retag", "ranker", "serve", "serve,gpu", "--dry-run")
    first, rest = SCREEN.split("\n", 1)
    assert done.out == f"{first}   (dry run)\n{rest}nothing written.\n"
    assert (done.code, done.err) == (0, WARNING)
    assert contents(here) == before


def test_retag_into_another_folder(run: Run, here: Path) -> None:
    before = contents(here / "ranker")
    done = run("retag", "ranker", "serve", "serve,gpu", "--out", "next")
    assert done.out == SCREEN + "  written to        next\n"
    assert contents(here / "ranker") == before
    assert run("show", "next", "--fingerprint", "--json").json["meta_graphs"][0]["tags"] == [
        "gpu", "serve"
    ]  # fmt: skip
    done = run("retag", "ranker", "serve", "gpu", "--out", "next")
    assert done.code == 5 and "next: is not empty" in done.err


def test_retag_as_json(run: Run, here: Path) -> None:
    done = run("retag", "ranker", "serve", "serve,gpu", "--json")
    assert done.code == 0 and not done.err
    record = done.json
    assert record["schema"] == "fastsm.retag/1" and record["changed"] and not record["dry_run"]
    assert (record["before"], record["after"]) == ({"tags": ["serve"]}, {"tags": ["gpu", "serve"]})
    assert [f["name"] for f in record["files"]] == ["fingerprint.pb", "saved_model.pb"]
    assert record["untouched"] == ["variables/"]
    assert record["undo"] == "fastsm retag ranker gpu,serve serve"
    assert len(record["warnings"]) == 1


def test_retag_to_the_same_writes_nothing(run: Run, here: Path) -> None:
    def state() -> dict[Path, tuple[int, int, int]]:
        found = {p: p.stat() for p in here.rglob("*")}
        return {p: (st.st_ino, st.st_mtime_ns, st.st_ctime_ns) for p, st in found.items()}

    before = state()
    done = run("retag", "ranker", "serve", "serve")
    assert done.code == 0 and "nothing to do" in done.out and "undo" not in done.out
    assert state() == before


def test_retag_refuses_a_taken_tag_set(run: Run, here: Path) -> None:
    before = contents(here)
    done = run("retag", "tagger", "train", "serve")
    assert (done.code, done.out) == (5, "")
    assert done.err == (
        "fastsm: tagger: {serve} is already the tag set of meta_graphs[1];\n"
        "  tag sets here: {train} {serve}. Nothing written.\n"
    )
    assert contents(here) == before


def test_retag_quietly(run: Run, here: Path) -> None:
    assert run("retag", "ranker", "serve", "serve,gpu", "--quiet") == (0, "", WARNING)
    done = run("retag", "ranker", "serve", "gpu", "--quiet")
    assert done.code == 4 and done.err.startswith("fastsm: ranker: no meta graph")


def test_backup_receipt_and_undo(run: Run, here: Path) -> None:
    before = contents(here / "ranker")
    words = ["retag", "ranker", "serve", "gpu", "--backup", "old", "--receipt", "receipt.json"]
    assert run(*words).code == 0
    receipt = json.loads((here / "receipt.json").read_text())
    assert (receipt["schema"], receipt["verb"]) == ("fastsm.receipt/1", "retag")
    assert run("undo", "ranker", "old", "--dry-run").out.endswith("nothing written.\n")
    assert contents(here / "ranker") != before
    done = run("undo", "ranker", "old")
    assert done.code == 0 and done.out.startswith("ranker   ")
    assert contents(here / "ranker") == before
    assert run("undo", "ranker", "nowhere").code == 4


@pytest.mark.parametrize("tag", ["a b", "it's", "$HOME", NASTY, "é", "\\", "*"])
def test_the_undo_command_can_be_pasted_into_a_shell(run: Run, here: Path, tag: str) -> None:
    before = contents(here / "tagger")
    done = run("retag", "tagger", "serve", tag)
    undo = done.out.splitlines()[-1].removeprefix("undo: fastsm ")
    command = f"{sys.executable} -m fastsm {undo}"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(["bash", "-c", command], check=True, env=env, stdout=subprocess.DEVNULL)
    assert contents(here / "tagger") == before


def test_undo_refuses_a_model_that_changed_since(run: Run, here: Path) -> None:
    assert run("retag", "ranker", "serve", "gpu", "--backup", "old").code == 0
    assert run("retag", "ranker", "gpu", "tpu").code == 0
    before = contents(here / "ranker")
    done = run("undo", "ranker", "old", "--json")
    assert done.code == 5 and done.json["error"]["type"] == "RefusedError"
    assert contents(here / "ranker") == before
