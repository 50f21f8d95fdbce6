"""The command line: picks the verb, reads its options, turns errors into exit codes.

One file a verb; only the chosen one is imported. argparse costs as much as all the rest
of a start, so plain spellings (``fastsm show PATH --tags serve``) are read without it.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType
    from typing import Any, NoReturn

    #: A verb's option: its flags or its name, and what argparse needs to know of it.
    Option = tuple[tuple[str, ...], dict[str, Any]]

#: Verb -> one line of help, by what the verbs are for. The module of a verb is the file of
#: its name in this folder.
GROUPS = {
    "look": {
        "show": "what is in a model: meta graphs, tags, signatures, files",
        "variables": "the tensors of a model or a checkpoint, or the values of one",
        "assets": "the files that a model takes along: who reads them, what is missing",
        "explain": "tags, signatures, assets and the Saver, explained by this model",
        "verify": "whether it is what was saved: checksums, and what must agree",
        "lint": "what will bite who loads, serves or moves it, and what mends it",
    },
    "prove": {
        "parity": "whether two models are the same model, by what TensorFlow makes of them",
        "run": "run a signature with TensorFlow, and print what it returns",
    },
    "edit": {
        "retag": "change the tag set by which loaders find a meta graph",
        "rename-signature": "give a signature another key, for every loader",
        "copy-signature": "let a signature be found by a second key, too",
        "remove-signature": "take signatures out, for every loader",
        "add-signature": "a signature for tensors of the graph",
        "rename-input": "another name for an input of a signature",
        "rename-output": "another name for an output of a signature",
        "set-method-name": "the method by which TF Serving takes requests",
        "rename-asset": "give a file of assets/ another name",
        "replace-asset": "let a file of assets/ have another content",
        "strip-training-graph": "only what serving needs, bit for bit; also: strip",
        "remove-meta-graph": "take meta graphs out, and what none else needs",
        "extract-meta-graph": "keep one meta graph, and what it needs",
        "clear-devices": "let loaders place nodes and variables where they like",
        "dedupe": "let variables that are stored twice share their bytes",
        "repair": "mend what verify finds, where nothing is lost by it",
        "edit": "several edits as one, from a file of JSON",
        "undo": "put back the bytes that an edit kept with --backup",
    },
    "make": {
        "convert": "a SavedModel of a checkpoint and its .meta, or of a frozen graph",
    },
    "take out": {
        "export-weights": "write the variables into an npz or safetensors file",
    },
}
VERBS = {verb: text for group in GROUPS.values() for verb, text in group.items()}

#: Shorter names of verbs.
ALIASES = {"strip": "strip-training-graph"}

#: What every verb takes.
COMMON: list[Option] = [
    (("--json",), {"action": "store_true", "help": "print JSON, errors too"}),
    (("--quiet",), {"action": "store_true", "help": "print nothing but warnings and errors"}),
    (("--debug",), {"action": "store_true", "help": "show a traceback with an error"}),
]


class Arguments:
    """A verb's options, as attributes named as argparse would."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit. Exit codes: see `fastsm.errors`.

    Args:
        argv: The words behind ``fastsm``; None for the process's own, which then ends at
            once: taking the interpreter apart, object by object, costs as much as showing
            a small model.
    """
    if argv is None:
        import gc

        gc.disable()  # little is made, and the process ends soon
        _open_streams()
    code = _flushed(_run, list(sys.argv[1:] if argv is None else argv))
    if argv is None:
        os._exit(code)
    sys.exit(code)


def _open_streams() -> None:
    """See that anything can be printed: into closed streams too, and in any encoding."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    # Names are safe for a terminal by now; one that it cannot show is shown escaped.
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")


def _flushed(run: Callable[[list[str]], int], arguments: list[str]) -> int:
    """Run, and see that what was printed has left the process."""
    try:
        code = run(arguments)
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        # The reader of our output went away (`fastsm show ... | head`).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(f"fastsm: the output cannot be written: {error.strerror}", file=sys.stderr)
        return 6
    return code


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_help())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        from fastsm import __version__

        print(f"fastsm {__version__}")
        return 0
    verb, rest = arguments[0], arguments[1:]
    try:
        module = _module(verb)
        options = parse_plain(module, rest)
        if options is None:
            options = _parse(verb, module, rest)
        result: int = module.run(options)
        return result
    except KeyboardInterrupt as interrupt:
        # A commit that was interrupted says which model it left.
        from ..errors import left

        on_disk = getattr(interrupt, "on_disk", None)
        which = f". {left(on_disk)}" if on_disk else ""
        print(f"fastsm: interrupted{which}", file=sys.stderr)
        return 130
    except Exception as error:
        if isinstance(error, OSError) and isinstance(error.errno, int) and not error.filename:
            raise  # of our own output: files have names, and verbs words for them
        return _report(error, "--json" in rest, "--debug" in rest)


def _module(verb: str) -> ModuleType:
    verb = ALIASES.get(verb, verb)
    if verb not in VERBS:
        import difflib

        from ..errors import UsageError
        from ..text import printable

        close = difflib.get_close_matches(verb, [*VERBS, *ALIASES], 1)
        hint = f"Did you mean fastsm {close[0]}?" if close else f"It has: {', '.join(VERBS)}"
        raise UsageError("", f"there is no verb {printable(verb)!r}", hint=hint)
    name = f"fastsm.cli.{verb.replace('-', '_')}"
    __import__(name)
    return sys.modules[name]


def parse_plain(module: ModuleType, words: list[str]) -> Arguments | None:
    """The options of a call that spells them plainly (``--out DIR``, not ``--out=DIR``).

    None for any other call, wrong ones too: argparse reads those. Where both have an
    answer it is the same.
    """
    values: dict[str, Any] = {}
    names: list[str] = []
    n_required = 0
    takes_rest = False
    switches: dict[str, str] = {}
    takes_value: dict[str, str] = {}
    listed: set[str] = set()
    for flags, how in [*module.OPTIONS, *COMMON]:
        name = how.get("dest", flags[0].lstrip("-").replace("-", "_"))
        values[name] = how.get("default", False if how.get("action") == "store_true" else None)
        if not flags[0].startswith("-"):
            names.append(name)
            n_required += how.get("nargs") != "?"
            takes_rest = how.get("nargs") == "+"  # if so, it is the last name
        elif how.get("action") == "store_true":
            switches.update(dict.fromkeys(flags, name))
        elif {"action", "nargs", "type", "choices"}.isdisjoint(how):
            takes_value.update(dict.fromkeys(flags, name))
        elif how.get("action") == "append":
            takes_value.update(dict.fromkeys(flags, name))
            listed.add(name)
    given = []
    rest = iter(words)
    for word in rest:
        if word in switches:
            values[switches[word]] = True
        elif word in takes_value:
            value = next(rest, "-")
            if value.startswith("-"):
                return None
            name = takes_value[word]
            values[name] = [*(values[name] or ()), value] if name in listed else value
        elif word.startswith("-"):
            return None
        else:
            given.append(word)
    if len(given) < n_required or (len(given) > len(names) and not takes_rest):
        return None
    values.update(zip(names, given, strict=False))
    if takes_rest:
        values[names[-1]] = given[len(names) - 1 :]
    return Arguments(**values)


def _parse(verb: str, module: ModuleType, words: list[str]) -> Arguments:
    import argparse

    from ..errors import UsageError

    class Parser(argparse.ArgumentParser):
        def error(self, message: str) -> NoReturn:
            raise UsageError("", message, hint=f"fastsm {verb} --help tells more.")

    parser = Parser(
        prog=f"fastsm {verb}",
        description=module.__doc__,
        epilog=module.EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    known: list[str] = []
    for flags, how in [*module.OPTIONS, *COMMON]:
        known += parser.add_argument(*flags, **how).option_strings
    arguments = Arguments()
    # Intermixed: a word that may be left out can still come behind an option. That forgets
    # what "--" is for, so the words behind it are marked with what none of them can hold.
    n = words.index("--") if "--" in words else len(words)
    marked = ["\0" + word for word in words[n + 1 :]]
    _, unknown = parser.parse_known_intermixed_args(words[:n] + marked, namespace=arguments)
    _unmark(vars(arguments))
    if unknown:
        import difflib

        from ..text import printable

        word = printable(unknown[0].removeprefix("\0"))
        close = difflib.get_close_matches(word.partition("=")[0], known, 1, 0.75)
        meant = f"; did you mean {close[0]}?" if close else ""
        what = "option" if unknown[0].startswith("-") else "argument"
        parser.error(f"fastsm {verb} takes no {what} {word}{meant}")
    return arguments


def _unmark(values: dict[str, Any]) -> None:
    """Take the marks off the words that stood behind "--"."""
    for name, value in values.items():
        if isinstance(value, str):
            values[name] = value.removeprefix("\0")
        elif isinstance(value, list):
            values[name] = [word.removeprefix("\0") for word in value]


def _help() -> str:
    lines = [
        "usage: fastsm VERB PATH ...",
        "",
        "Open, inspect, check and edit TensorFlow SavedModels, without TensorFlow.",
    ]
    width = max(map(len, VERBS)) + 2
    for group, verbs in GROUPS.items():
        lines += ["", f"{group}:"]
        lines += [f"  {verb:<{width}}{text}" for verb, text in verbs.items()]
    lines += [
        "",
        "fastsm VERB --help tells more. Example: fastsm show export/1",
        "exit codes: 0 done, 1 findings or differences, 2 usage, 3 not readable,",
        "  4 not there or ambiguous, 5 refused, 6 disk, 7 unsupported, 70 a bug, 130 interrupted",
    ]
    return "\n".join(lines)


def _report(error: Exception, as_json: bool, debug: bool) -> int:
    """Say what went wrong, on stderr, and with --json on stdout too."""
    from ..errors import FastsmError, InternalError
    from ..text import printable

    if debug:
        import traceback

        traceback.print_exc()
    if not isinstance(error, FastsmError):
        kind = type(error).__name__
        hint = "This is a bug in fastsm. Please report it, with what --debug prints."
        if isinstance(error, MemoryError):
            hint = "There was not enough memory."
        error = InternalError("", f"{kind}: {printable(str(error), 500)}", hint=hint)
    print(f"fastsm: {error}", file=sys.stderr)
    if as_json:
        from .output import to_json

        print(to_json({"schema": "fastsm.error/1", "error": error.to_dict()}))
    return error.exit_code
