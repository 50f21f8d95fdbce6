"""The screens of `fastsm explain`."""

from __future__ import annotations

from ..locate import entries
from ..text import counted, listed, printable, python_str, serving_words, shell, size, tag_set
from ..views import PREDICT, loads_by_objects
from .output import wrapped
from .show import kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..answers.explanation import Explained, Explanation, Hindered, Loading, Tagged
    from ..assets import AssetFile
    from ..loaders import Pick, Said
    from ..snippets import Snippet
    from ..views import TensorInfo

#: A loader, as a person calls it.
NAMES = {
    "v2": "tf.saved_model.load",
    "v1": "tf.compat.v1.saved_model.load",
    "cc": "C++ LoadSavedModel",
    "serving": "TF Serving",
    "tflite": "TFLiteConverter",
}

#: So many meta graphs, signatures, files are shown; --json has them all.
MAX_SHOWN = 6

#: So many inputs, or outputs, of a signature.
MAX_TENSORS = 8

#: A script of more lines is left to --signature.
MAX_LINES = 16

#: A call or an error is cut here: its tags may be megabytes.
MAX_TEXT = 1000

_IN = "   "
_IN2 = "     "


def lines(explanation: Explanation, question: str | None) -> Iterator[str]:
    """The screen: the questions, or one of them, and what keeps loaders from the model."""
    answers = {"tags": _tags, "signatures": _signatures, "assets": _assets, "saver": _saver}
    if explanation.tags.asked and not explanation.checkpoint.loading:
        question = "tags"  # no loader finds a meta graph that the others could be about
    yield _title(explanation)
    for i, (name, answer) in enumerate(answers.items(), 1):
        if question in (None, name):
            yield ""
            title, *rest = answer(explanation)
            yield f"{i}. {title}"
            yield from rest
    if question in (None, "tags"):
        yield from _obstacles(explanation)
    for note in explanation.notes:
        yield from wrapped(f"note: {note}", "", "  ")


def _title(explanation: Explanation) -> str:
    model = explanation.model
    versions = {graph.tensorflow_version for graph in model.meta_graphs} - {""}
    wrote = [f"TensorFlow {printable(v)}" for v in sorted(versions)]
    what = kind(model, {e.name for e in entries(model.folder)})
    return f"{printable(explanation.path, None)}   {', '.join(['SavedModel', *wrote, what])}"


def _text(text: str) -> list[str]:
    return wrapped(text, _IN, _IN)


def _set(tagged: Tagged) -> str:
    """The tag set of a meta graph."""
    return printable(tag_set(set(tagged.tags)), MAX_TEXT)


def _more(n: int, what: str) -> list[str]:
    return [f"{_IN}and {counted(n, f'other {what}')}: --json has all"] if n > 0 else []


# -- 1 --


def _tags(explanation: Explanation) -> Iterator[str]:
    yield "Why a list of tags?"
    tags = explanation.tags
    yield from _text(
        "A SavedModel can hold several graphs (meta graphs), each with its set of tags. A loader "
        "is told a list, and takes the first graph that has exactly this set: no tag more, none "
        "less."
    )
    if not tags.meta_graphs:
        yield from _text("This model has none: no loader finds anything in it.")
        return
    if tags.asked:
        yield from _asked(explanation)
        return
    shown = tags.meta_graphs[:MAX_SHOWN]
    has = f"This model has {len(tags.meta_graphs)}" if len(tags.meta_graphs) > 1 else "It has one"
    yield from _text(f"{has}:")
    for tagged in shown:
        yield from _tagged(explanation, tagged)
    yield from _more(len(tags.meta_graphs) - len(shown), "meta graph")
    failing = [p for p in tags.picks if p.said is not None]
    if failing:
        yield ""
        yield from _text("Without tags, or for {serve}, which is what most people ask for:")
        # The converter's words are those of v1, but for the brackets of a set.
        yield from _said(p for p in failing if p.loader != "tflite" or len(failing) == 1)
    if all(p.tags is None for p in failing):
        refused = [p for p in tags.refused if p.loader in ("v2", "cc", "serving")]
        yield ""
        yield from _text(f"Asked for {tag_set(refused[0].tags or ())}, which is not here:")
        yield from _said(refused)


def _tagged(explanation: Explanation, tagged: Tagged) -> Iterator[str]:
    parts = [counted(tagged.nodes, "node")]
    if tagged.functions:
        parts.append(counted(tagged.functions, "function"))
    if tagged.objects is not None:
        parts.append(counted(tagged.objects, "object"))
    yield f"{_IN}{_set(tagged)}   {', '.join(parts)}"
    tags = explanation.tags
    odd = [c for c in tags.collisions if c.meta_graph == tagged.meta_graph]
    for collision in odd:
        yield from wrapped(printable(collision.words, MAX_TEXT), _IN2, _IN2)
        if collision.kind == "letters" and collision.word:
            path = shell(explanation.path)
            letters = ",".join(sorted(set(tagged.tags)))
            yield f"{_IN2}fastsm retag {path} {letters} {collision.word}"
    if any(c.kind == "shadowed" for c in odd):
        return
    # Of a loader the shortest call: its default, where that is this one.
    calls: dict[str, Pick] = {}
    for found in tags.picks:
        if found.meta_graph == tagged.meta_graph:
            calls.setdefault(found.loader, found)
    alone = len(tags.meta_graphs) == 1
    for loader in ("v2", "v1", "serving", "tflite") if alone else ("v2", "serving"):
        if loader in calls:
            yield _IN2 + _call(calls[loader])
        elif loader == "serving":
            yield f"{_IN2}TF Serving: {serving_words(None)}"


def _call(found: Pick) -> str:
    if found.loader == "serving":
        return f"TF Serving: {printable(serving_words(found.call), MAX_TEXT)}"
    how = "   by its objects" if found.reads == "object graph" and found.loader == "v2" else ""
    return f"{printable(found.call or '', MAX_TEXT)}{how}"


def _asked(explanation: Explanation) -> Iterator[str]:
    asked = explanation.tags.asked
    sets = listed((_set(t) for t in explanation.tags.meta_graphs), MAX_SHOWN)
    yield from _text(f"Asked for {tag_set(asked[0].tags or ())}; the model has {sets}:")
    for found in asked:
        if found.meta_graph is not None:
            yield f"{_IN2}{_call(found)}   meta_graphs[{found.meta_graph}]"
        elif found.said is None:
            yield f"{_IN2}{NAMES[found.loader]}: {serving_words(found.call)}"
    yield from _said([p for p in asked if p.said is not None])


def _said(picks: Iterable[Pick]) -> Iterator[str]:
    """Errors, each once, with those that say it."""
    groups: dict[tuple[str, str, int | None], list[str]] = {}
    for found in picks:
        if found.said is not None:
            said = found.said
            names = groups.setdefault((said.type, said.text, said.code), [])
            if NAMES[found.loader] not in names:
                names.append(NAMES[found.loader])
    for (type, text, code), names in groups.items():
        yield f"{_IN2}{', '.join(names)}:"
        yield from _error(type, text, code)


def _error(type: str, text: str, code: int | None) -> Iterator[str]:
    number = f" ({code})" if code is not None else ""
    inside = _IN2 + "  "
    for i, line in enumerate(text.split("\n")):
        start = "" if i else f"{type}{number}: "
        yield from wrapped(start + printable(line, MAX_TEXT), inside, inside)


# -- 2 --


def _signatures(explanation: Explanation) -> Iterator[str]:
    yield "What is a signature_def_map, and do I need one?"
    yield from _text(
        "A signature is a call by name: which tensors go in, which come out. The map holds them "
        "by key. Servers, C++, TFLite and TF1 call nothing else, and ask for serving_default if "
        "you name none; so a model needs one to be served."
    )
    yield from _methods(explanation)
    found = explanation.signatures
    if not found:
        if explanation.tags.meta_graphs:
            yield from _text("This model has none. fastsm add-signature makes one.")
        return
    several = len({e.meta_graph for e in found}) > 1
    for explained in found[:MAX_SHOWN]:
        yield from _signature(explanation, explained, several)
    yield from _more(len(found) - MAX_SHOWN, "signature")
    yield from _text(
        "In brackets the shape: ? is any size, as a rule of the batch; [] one value; [...] any."
    )
    first = _preferred(explanation)
    if first is None:
        return
    path, key = shell(explanation.path), shell(first.key)
    yield ""
    snippet = explanation.python(first.key)
    script = snippet.text.splitlines()
    if script and len(script) <= MAX_LINES:
        yield from _text(f"To call {printable(first.key)} in Python:")
        yield from (f"{_IN2}{line}".rstrip() for line in script)
    elif not script:
        yield from _text(f"{snippet.title}: {snippet.note}")
    yield from _text(
        "In TF1, Keras, TF Serving, Triton, with values that the model takes:"
        if script and len(script) <= MAX_LINES
        else "In Python, Keras, TF Serving, Triton, with values that the model takes:"
    )
    yield f"{_IN2}fastsm explain {path} --signature {key}"


def _preferred(explanation: Explanation) -> Explained | None:
    """The signature to be shown in full: serving_default, else the first."""
    keys = [e.key for e in explanation.signatures if e.method_name is not None]
    if not keys:
        return None
    return explanation.called("serving_default" if "serving_default" in keys else keys[0])


def _methods(explanation: Explanation) -> Iterator[str]:
    graphs = explanation.model.meta_graphs
    if not loads_by_objects(graphs):
        if len(graphs) > 1 and all(graph.object_spans for graph in graphs):
            yield from _text(
                "This model has objects (TF2), but with several meta graphs tf.saved_model.load "
                "does not look at them: it gives signatures and no methods."
            )
        return
    if explanation.methods:
        named = listed((f"loaded.{name}" for name in explanation.methods), 4)
        yield from _text(f"tf.saved_model.load gives the methods that were saved, too: {named}.")


def _signature(explanation: Explanation, explained: Explained, several: bool) -> Iterator[str]:
    key = printable(explained.key) if explained.key.strip() else f'"{explained.key}"'
    where = ""
    if several:
        where = f"   {_set(explanation.tags.meta_graphs[explained.meta_graph])}"
    yield f"{_IN}{key}{where}"
    if explained.words:
        yield from _side("takes", explained.inputs)
        yield from _side("gives", explained.outputs)
    for note in _notes(explained):
        yield from wrapped(note, _IN2, _IN2)


def _side(verb: str, infos: dict[str, TensorInfo]) -> list[str]:
    """Inputs or outputs, each unbroken; of many the first."""
    parts = [f"{printable(name)}: {info.spec()}" for name, info in infos.items()]
    if len(parts) > MAX_TENSORS + 1:
        parts[MAX_TENSORS:] = [f"and {counted(len(parts) - MAX_TENSORS, 'other')}"]
    text = ", ".join(part.replace(" ", "\0") for part in parts) or "nothing"
    lines = wrapped(f"{verb} {text}", _IN2, _IN2 + "      ")
    return [line.replace("\0", " ") for line in lines]


def _notes(explained: Explained) -> Iterator[str]:
    missing = [name for loader, name in NAMES.items() if loader not in explained.loaders]
    if missing:
        yield f"not found by {', '.join(missing)}"
    if explained.defaults:
        yield f"may be left out: {listed(explained.defaults)}"
    method = explained.method_name
    if method is not None and method != PREDICT:
        known = method.startswith(PREDICT.rpartition("/")[0] + "/")
        expected = "" if known else f", where servers expect {PREDICT}"
        yield f"method {printable(method) or 'none'}{expected}"


def signature_lines(
    explanation: Explanation, key: str, snippets: Iterable[Snippet]
) -> Iterator[str]:
    """The screen of one signature: what it takes, and how each program calls it."""
    yield _title(explanation)
    yield ""
    yield from _signature(explanation, explanation.called(key), several=True)
    for snippet in snippets:
        yield ""
        yield from _snippet(snippet)


def _snippet(snippet: Snippet) -> Iterator[str]:
    file = f", as {printable(snippet.file)}" if snippet.file else ""
    yield from wrapped(f"# {snippet.title}{file} (needs {snippet.needs})", "", "# ")
    if snippet.note:
        yield from wrapped(f"# {printable(snippet.note, None)}", "", "# ")
    if snippet.text:
        yield snippet.text.rstrip("\n")


# -- 3 --


def _assets(explanation: Explanation) -> Iterator[str]:
    yield "What is the assets_collection?"
    yield from _text(
        "The files that a model takes along, in assets/: vocabularies, as a rule. The graph has "
        "a tensor for each; loading feeds it the path that the file has now, so that the model "
        "can be copied anywhere."
    )
    assets = explanation.assets
    used = [f for f in assets.files if f.uses]
    if not used:
        yield from _text("This model has none.")
    for file in used[:MAX_SHOWN]:
        yield from _asset(file)
    yield from _more(len(used) - MAX_SHOWN, "file")
    places = {
        "asset_file_def": "in the field asset_file_def",
        "saved_model_assets": 'in the collection "saved_model_assets", as the builder of TF1 does',
    }
    kept = [places[where] for where in dict.fromkeys(assets.kept) if where is not None]
    if used and kept:
        yield from _text(f"They are listed {'; others '.join(kept)}.")
    unused = [f for f in assets.files if not f.uses]
    if unused:
        names = listed((f.name for f in unused), 4)
        yield from _text(f"In assets/, and named by no meta graph: {names}.")


def _asset(file: AssetFile) -> Iterator[str]:
    there = "" if file.bytes is None else f"   {size(file.bytes)}"
    yield f"{_IN}{printable(file.name) or python_str('')}{there}"
    if file.problem:
        yield from wrapped(file.problem, _IN2, _IN2)
    ways: dict[str, None] = {}
    for use in file.uses:
        ops = "an op" if use.ops is None else listed(use.ops, 4) if use.ops else "nothing"
        ways[f"path fed to {printable(use.tensor) or 'no tensor'}, read by {ops}"] = None
    for way in list(ways)[:MAX_SHOWN]:
        yield from wrapped(way, _IN2, _IN2)


# -- 4 --


def _saver(explanation: Explanation) -> Iterator[str]:
    yield "Why a SavedModel, and not a Saver checkpoint?"
    found = explanation.checkpoint
    if found.prefix is None:
        yield from _text(
            "A checkpoint holds values of variables, and this model has none: a Saver could not "
            "save it at all. What it has:"
        )
    else:
        n = counted(found.variables, "variable")
        yield from _text(
            f"variables/ is such a checkpoint ({n}, {size(found.bytes)}), and can be read as one: "
            "it holds values, and nothing that computes. Beside it this model has:"
        )
    for one in found.has:
        yield from wrapped(one, _IN2, _IN2 + "  ")
    if found.lacks:
        yield from _text("What a Saver's folder may have, and this has not:")
    for one in found.lacks:
        yield from wrapped(one, _IN2, _IN2 + "  ")
    ways: dict[str, list[str]] = {}
    for loading in found.loading:
        tagged = explanation.tags.meta_graphs[loading.meta_graph]
        ways.setdefault(_loading(loading), []).append(_set(tagged))
    for what, sets in list(ways.items())[:MAX_SHOWN]:
        of = f" {listed(sets, 4)}" if len(explanation.tags.meta_graphs) > 1 else ""
        yield from _text(f"Loading{of} into a session runs {what}.")


def _loading(loading: Loading) -> str:
    """What loading runs, in words."""
    steps = []
    if loading.restore_op is not None:
        steps.append(f"{printable(loading.restore_op)} (the restore op: fills the variables)")
    if loading.init_op is not None:
        runs = "what it runs is not told" if loading.runs is None else listed(loading.runs, 4)
        runs = "nothing to do" if loading.runs == [] else runs
        steps.append(f"{printable(loading.init_op)} (the init op: {runs})")
    return ", then ".join(steps) or "nothing"


# -- what keeps loaders from it --


def _obstacles(explanation: Explanation) -> Iterator[str]:
    found = explanation.obstacles
    groups: dict[tuple[str, str], list[Hindered]] = {}
    for one in found:
        groups.setdefault((one.obstacle.at, one.obstacle.words), []).append(one)
    if not groups:
        return
    yield ""
    yield "What keeps loaders from it"
    graphs = explanation.tags.meta_graphs
    for (at, words), those in list(groups.items())[:MAX_SHOWN]:
        names = ", ".join(dict.fromkeys(NAMES[one.obstacle.loader] for one in those))
        indices = dict.fromkeys(one.meta_graph for one in those)
        where = ""
        if len(indices) < len(graphs):
            where = f", {listed((_set(graphs[i]) for i in indices), 4)}"
        verb = "load" if at == "load" else "call"
        rules = dict.fromkeys(one.obstacle.rule for one in those if one.obstacle.rule)
        by = f" [{', '.join(rules)}]" if rules else ""
        yield from wrapped(f"{names}{where} ({verb}): {words}{by}", _IN, _IN2)
        for said in _each_said(those):
            yield from _error(said.type, said.text, said.code)
    yield from _more(len(groups) - MAX_SHOWN, "obstacle")
    yield f"{_IN}fastsm verify {shell(explanation.path)} looks for the rest."


def _each_said(those: Iterable[Hindered]) -> list[Said]:
    found: list[Said] = []
    for one in those:
        said = one.obstacle.said
        if said is not None and said not in found:
            found.append(said)
    return found
