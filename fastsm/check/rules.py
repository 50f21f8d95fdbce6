"""Every rule of `fastsm verify` and `fastsm lint`: its id, how grave it is, what it means, which
verb mends it.

The ids are promises: scripts filter by them, and `fastsm repair --only` takes them.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    Severity = Literal["error", "warning", "note"]

#: Gravest first. An error: some loader fails, or computes with other numbers than were
#: saved, or what says where the numbers are is damaged. A warning: it loads, but something
#: is not as its writer left it, or will bite elsewhere. A note: worth knowing, and no fault.
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")

_REPAIR = "fastsm repair {path} --only {id}"

#: id -> (severity, what it means, the command that mends it or None). In the order of the
#: path of a byte: the table, its entries, the shards, the tensors, the model around them.
RULES: dict[str, tuple[Severity, str, str | None]] = {
    # the table: variables.index as a file
    "index-missing": ("error", "There are shards, or variables to restore, and no index.", None),
    "index-footer": ("error", "The index is no table: cut off, added to, or another file.", None),
    "index-padding": ("warning", "The index's footer has bytes where zeros belong.", None),
    "metaindex-block": (
        "warning", "The block that no loader reads is damaged: the file has been touched.", None,
    ),
    "index-block": ("error", "The list of data blocks is damaged; their keys may be lost.", None),
    "data-block": ("error", "A block of entries is damaged; its keys are lost.", None),
    "restart-array": (
        "error", "A block's restart array is broken: TensorFlow, which seeks by it, misses keys"
        " that are all there.", _REPAIR,
    ),
    "key-order": (
        "error", "Keys or blocks do not ascend, or a key is there twice: lookups miss some.", None,
    ),
    # its header
    "header-missing": ("error", "The index has no header: which shards belong to it?", None),
    "header-damaged": ("error", "The header of the index does not parse.", None),
    "bundle-version": ("error", "The bundle asks for another version of TensorFlow.", None),
    "shard-count": ("error", "The header gives no possible number of shards.", None),
    "big-endian": (
        "warning", "The bundle says that a big-endian machine wrote it; fastsm does not read its"
        " values.", None,
    ),
    "byte-order": (
        "error", "The header says big-endian, and strings in the shards are little-endian.", None,
    ),
    # its entries
    "entry-damaged": ("error", "An entry does not parse.", None),
    "entry-dtype": ("error", "An entry has a dtype that no tensor on disk can have.", None),
    "entry-shape": ("error", "An entry has a shape that no tensor can have.", None),
    "entry-size": ("error", "An entry's size is not that of its dtype and shape.", None),
    "entry-range": ("error", "An entry's bytes do not lie in its shard.", None),
    "entry-overlap": (
        "error", "Two entries share some bytes, not all: one of them is not where it says.", None,
    ),
    "shard-id": ("error", "An entry names a shard beyond the header's count.", None),
    # slices of partitioned variables
    "slice-key": ("error", "A key begins as a slice's does, and names no slice.", None),
    "slice-missing": ("error", "The slices of a variable do not cover it.", None),
    "slice-overlap": ("error", "Two slices of a variable hold the same elements.", None),
    "slice-shape": ("error", "A slice has another rank, dtype or shape than its variable.", None),
    "slice-range": ("error", "A slice reaches out of its variable.", None),
    "slice-orphan": ("error", "A slice that no variable lists: readers trip over its key.", None),
    "unrestorable-slices": (
        "error", "A variable is stored in slices of a dtype that TensorFlow writes and cannot"
        " restore.", _REPAIR,
    ),
    # the shards
    "shard-missing": ("error", "A shard that entries need is not there.", None),
    "shard-unreadable": ("error", "A shard is there and cannot be read.", None),
    "stray-shard": ("warning", "A file named as a shard, which the index does not use.", _REPAIR),
    "shard-gap": ("note", "Bytes in a shard that belong to no entry.", None),
    "shard-trailing": ("note", "Bytes at the end of a shard that belong to no entry.", None),
    # the bytes of tensors
    "tensor-checksum": ("error", "A tensor's bytes are not those that were saved.", None),
    "tensor-strings": ("error", "The lengths of strings do not fit, or are damaged.", None),
    "tensor-variant": ("error", "The elements of a variant do not fit, or are damaged.", None),
    "bool-bytes": ("note", "A bool that is neither 0 nor 1.", None),
    "doubled-weights": (
        "note", "Tensors that look stored twice: same size, checksum, dtype and shape.",
        "fastsm dedupe {path}",
    ),
    # saved_model.pb
    "model-damaged": ("error", "saved_model.pb cannot be read through.", None),
    "signature-tensor": ("error", "A signature names a tensor that the graph has not.", None),
    "op-missing": ("error", "What loading runs (saver, init op, asset) is not in the graph.", None),
    "node-input": (
        "error", "A node takes what no node of its graph, or its function, has.", None,
    ),
    "node-class": (
        "error", "A node is to be placed with one that the graph has not: sessions do not load"
        " it.", None,
    ),
    "node-twice": ("error", "Two nodes of a graph, or a function, have one name.", None),
    "function-missing": ("error", "A function is named that the graph's library has not.", None),
    "function-return": ("error", "A function returns what none of its nodes has.", None),
    "gradient-unregistered": (
        "note", "A gradient is registered by a function that is not there, and no node asks for"
        " it.", None,
    ),
    "collection-dangling": (
        "error", "A collection names a tensor or an op that the graph has not: Python's loaders"
        " import every collection, and fail.", _REPAIR,
    ),
    "model-object": (
        "error", "An object of the model names an object, a function, a node or an asset that is"
        " not there.", None,
    ),
    "object-unrestored": (
        "error", "tf.saved_model.load does not restore an object of the model: it has no value in"
        " the checkpoint by the names that lead to it, or no function that takes it.", None,
    ),
    "object-slots": (
        "error", "An optimizer has slot variables: tf.saved_model.load fails (add_slot), but where"
        " Keras 2, whose optimizer it is, was imported before.", _REPAIR,
    ),
    "signature-one-sided": (
        "warning", "A signature that some loaders find and others do not.", None,
    ),
    "object-child": (
        "warning", "The checkpoint's own object graph has a child that the model's has not: the"
        " C++ loader of TF2 models fails.", None,
    ),
    # what the model restores, against the bundle
    "restore-key": ("error", "The model restores a variable that the bundle has not.", None),
    "restore-dtype": ("error", "The model restores a variable as another dtype.", None),
    "restore-shape": ("error", "The model restores a variable to another shape.", None),
    "restore-handle": (
        "error", "Signatures read another handle than the one that the variable is restored into:"
        " session loaders fail, or compute with another value.", _REPAIR,
    ),
    "restore-twice": (
        "note", "Session loaders restore a variable twice, from two keys: it is twice in the"
        " checkpoint, and in memory.", _REPAIR,
    ),
    "object-graph": ("error", "The checkpoint's own object graph is damaged, or missing.", None),
    "object-key": (
        "error", "The checkpoint's own object graph names a key that the bundle has not.", None,
    ),
    # files around it
    "asset-missing": ("error", "An asset that the model names is not there.", None),
    "asset-unread": (
        "warning", "An asset that the model names is not there, and no node takes its path.", None,
    ),
    "asset-outside": ("error", "An asset's name leads out of assets/.", _REPAIR),
    "asset-tensor": (
        "error", "Two assets are fed to one tensor, which C++ refuses even of the same file; or"
        " one to an op, which the v1 loader refuses.", _REPAIR,
    ),
    "asset-unused": ("note", "A file in assets/ that no meta graph names.", _REPAIR),
    "link-outside": (
        "warning", "A file of the model is a link that leads out of it.", _REPAIR + " --out DIR",
    ),
    # fingerprint.pb
    "fingerprint-damaged": ("warning", "fingerprint.pb cannot be read.", None),
    "fingerprint-stale": (
        "warning", "A hash of fingerprint.pb is not that of the files: they were changed after, or"
        " it was copied.", None,
    ),
    # lint: by which tags it is found
    "no-serve-tag": (
        "warning", "No meta graph has the tag set {serve}, which servers and converters ask for"
        " where they are told nothing else.", None,
    ),
    "tag-letters": (
        "warning", "The tags are the letters of a word: a string was given where a list of tags"
        " belongs.", None,
    ),
    "tag-set-twice": (
        "warning", "Two meta graphs have one tag set: no loader finds the second.", None,
    ),
    "tag-spelling": (
        "note", "A tag that no flag can name: empty, or with a comma or spaces in it.", None,
    ),
    "objects-ignored": (
        "note", "A meta graph of objects (TF2) beside others: tf.saved_model.load imports it as one"
        " of TF1, without its functions.", None,
    ),
    # its signatures
    "no-signature": ("warning", "A meta graph for serving has no signature.", None),
    "no-serving-default": (
        "note", "There are signatures, and none is called serving_default: who names none fails.",
        None,
    ),
    "signature-disagrees": (
        "warning", "signature_def and the objects say different things of one signature.", None,
    ),
    "serving-method": (
        "warning", "TensorFlow Serving does not take a signature by the method that it names.",
        None,
    ),
    "signature-scalar": (
        "note", "A signature takes a scalar: rows of a batch cannot give it.", None,
    ),
    "signature-batch": (
        "note", "Of a signature's inputs some take any number of rows, and others a fixed one.",
        None,
    ),
    "signature-rank": ("note", "An input of a signature has an unknown rank.", None),
    # what loading runs
    "train-op": (
        "error", "signature_def names a train op that takes a placeholder: tf.saved_model.load"
        " cannot load the model.", "fastsm remove-signature {path} __saved_model_train_op",
    ),
    "init-op-twice": (
        "error", "Of the init op's collection there must be one entry: loaders of sessions"
        " refuse several.", None,
    ),
    "table-uninitialized": (
        "error", "A signature looks up in a table that loading does not fill.", None,
    ),
    "variable-uninitialized": (
        "error", "A signature reads a variable that loading neither restores nor initializes.",
        None,
    ),
    # its ops
    "op-custom": (
        "warning", "An op that TensorFlow does not have: some library registers it.", None,
    ),
    "op-python": (
        "error", "A Python function is called that lives in the process that saved the model:"
        " calls fail anywhere else.", None,
    ),
    "op-version": (
        "error", "An op, or an attribute of one, that this release of TensorFlow does not have.",
        None,
    ),
    "graph-version": (
        "error", "The graph asks for a newer version of TensorFlow, or excludes this one.", None,
    ),
    "device-pinned": (
        "warning", "Nodes are placed on a device that other machines may lack.",
        "fastsm clear-devices {path}",
    ),
    "file-outside": (
        "warning", "A file outside the model is opened: its path is a constant, and no asset.",
        None,
    ),
    "training-nodes": (
        "note", "Optimizers, gradients or slots were saved with it, which no signature runs.",
        "fastsm strip-training-graph {path}",
    ),
    # the folder
    "version-folder": (
        "note", "The folder's name is no version: TensorFlow Serving wants numbers below its base"
        " path.", None,
    ),
    "twin-file": ("note", "A second file beside saved_model.pb, which not all tools ignore.", None),
    "model-size": (
        "warning", "saved_model.pb is near the 2 GiB that protobuf reads, or beyond.", None,
    ),
    "warmup-request": (
        "error", "A warm-up request asks for what the model has not: TensorFlow Serving does not"
        " load it.", None,
    ),
}  # fmt: skip

#: What `fastsm lint` alone looks for; what `verify` does, it finds too, but in tensors' bytes.
OF_LINT = frozenset(list(RULES)[list(RULES).index("no-serve-tag") :])


def fix_of(rule: str, path: str) -> str | None:
    """The command that mends what a rule finds in the model at a path, or None.

    Args:
        path: As a shell takes it: quoted where it has to be.
    """
    command = RULES[rule][2]
    return command.format(path=path, id=rule) if command else None


def page(rule: str) -> str:
    """The page about a rule, in the project's repository."""
    return f"docs/rules/{rule}.md"
