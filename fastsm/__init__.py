"""fastsm: open, inspect, check and edit TensorFlow SavedModels, without TensorFlow.

    import fastsm
    model = fastsm.open("export/1")
    model.tag_sets
    fastsm.retag("export/1", {"serve"}, {"serve", "gpu"})

What is not touched is not read, and what is not used is not imported.
"""

from __future__ import annotations

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .answers.explain import explain as explain
    from .answers.explanation import Explanation as Explanation
    from .check.lint import lint as lint
    from .check.report import Finding as Finding
    from .check.report import Report as Report
    from .check.verify import verify as verify
    from .errors import AmbiguousError as AmbiguousError
    from .errors import BackendMissingError as BackendMissingError
    from .errors import CommitError as CommitError
    from .errors import FastsmError as FastsmError
    from .errors import FormatError as FormatError
    from .errors import InternalError as InternalError
    from .errors import MissingError as MissingError
    from .errors import RefusedError as RefusedError
    from .errors import UnsupportedError as UnsupportedError
    from .errors import UsageError as UsageError
    from .export import ExportResult as ExportResult
    from .export import export_weights as export_weights
    from .model import Checkpoint as Checkpoint
    from .model import SavedModel as SavedModel
    from .model import open as open
    from .proof.parity import parity as parity
    from .proof.report import ParityReport as ParityReport
    from .proof.run import run as run
    from .verbs.assets import rename_asset as rename_asset
    from .verbs.assets import replace_asset as replace_asset
    from .verbs.clear_devices import clear_devices as clear_devices
    from .verbs.convert import ConvertResult as ConvertResult
    from .verbs.convert import convert as convert
    from .verbs.dedupe import dedupe as dedupe
    from .verbs.meta_graphs import extract_meta_graph as extract_meta_graph
    from .verbs.meta_graphs import remove_meta_graph as remove_meta_graph
    from .verbs.repair import repair as repair
    from .verbs.retag import retag as retag
    from .verbs.signature_names import rename_input as rename_input
    from .verbs.signature_names import rename_output as rename_output
    from .verbs.signatures import add_signature as add_signature
    from .verbs.signatures import copy_signature as copy_signature
    from .verbs.signatures import remove_signature as remove_signature
    from .verbs.signatures import rename_signature as rename_signature
    from .verbs.signatures import set_method_name as set_method_name
    from .verbs.strip import strip_training_graph as strip_training_graph
    from .verbs.transaction import Edit as Edit
    from .verbs.transaction import EditResult as EditResult
    from .verbs.transaction import edit as edit
    from .verbs.undo import undo as undo

_HOMES = {
    "open": "model", "SavedModel": "model", "Checkpoint": "model",
    "convert": "verbs.convert", "ConvertResult": "verbs.convert",
    "retag": "verbs.retag", "dedupe": "verbs.dedupe", "undo": "verbs.undo",
    "rename_asset": "verbs.assets", "replace_asset": "verbs.assets",
    "export_weights": "export", "ExportResult": "export",
    "run": "proof.run", "parity": "proof.parity", "ParityReport": "proof.report",
    "repair": "verbs.repair", "clear_devices": "verbs.clear_devices",
    "strip_training_graph": "verbs.strip",
    **dict.fromkeys(("remove_meta_graph", "extract_meta_graph"), "verbs.meta_graphs"),
    **dict.fromkeys(
        ("rename_signature", "copy_signature", "remove_signature", "set_method_name",
         "add_signature"),
        "verbs.signatures",
    ),
    "rename_input": "verbs.signature_names", "rename_output": "verbs.signature_names",
    **dict.fromkeys(("edit", "Edit", "EditResult"), "verbs.transaction"),
    "explain": "answers.explain", "Explanation": "answers.explanation",
    "verify": "check.verify", "lint": "check.lint",
    **dict.fromkeys(("Finding", "Report"), "check.report"),
    **dict.fromkeys(
        ("AmbiguousError", "BackendMissingError", "CommitError", "FastsmError", "FormatError",
         "InternalError", "MissingError", "RefusedError", "UnsupportedError", "UsageError"),
        "errors",
    ),
}  # fmt: skip

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'fastsm' has no attribute {name!r}")
    module = __import__(f"fastsm.{home}", fromlist=[name])
    value = globals()[name] = getattr(module, name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
