"""Who provides ops that TensorFlow does not have: the import that registers them.

Source: the op registry with tensorflow_text 2.12 and struct2tensor 0.44 loaded; the others
have names with a prefix.
"""

from __future__ import annotations

_TEXT = "import tensorflow_text"
_TENSORRT = "a TensorFlow built with TensorRT"

#: What the names of ops begin with -> who registers them.
_PREFIXES = {
    "Addons>": "import tensorflow_addons",
    "IO>": "import tensorflow_io",
    "TFText>": _TEXT,
    "Horovod": "import horovod.tensorflow",
    "SimpleML": "import tensorflow_decision_forests",
    "TRT": _TENSORRT,
}

#: Who registers ops -> those without such a prefix.
_NAMES = {
    _TEXT: """
        CaseFoldUTF8 ConstrainedSequence FastBertNormalize FastWordpieceTokenizeWithOffsets
        FindSourceOffsets MaxSpanningTree NormalizeUTF8 NormalizeUTF8WithOffsetsMap
        PhraseTokenize RegexSplitWithOffsets RougeL SentenceFragments SentenceFragmentsV2
        SentencepieceDetokenizeOp SentencepieceIdToStringOp SentencepieceOp
        SentencepieceStringToIdOp SentencepieceTokenizeOp SentencepieceTokenizeWithOffsetsOp
        SentencepieceVocabSizeOp SplitMergeTokenizeWithOffsets TokenizerFromLogits
        UnicodeScriptTokenizeWithOffsets WhitespaceTokenizeWithOffsets
        WordpieceTokenizeWithOffsets
    """,
    "import struct2tensor": """
        DecodeProtoMap DecodeProtoMapV2 DecodeProtoSparseV2 DecodeProtoSparseV3
        DecodeProtoSparseV4 EquiJoinAnyIndices EquiJoinIndices ParquetDataset RunLengthBefore
    """,
    _TENSORRT: """
        CreateTRTResourceHandle GetCalibrationDataOp InitializeTRTResource SerializeTRTResource
    """,
}


def provider(op: str) -> str | None:
    """What registers an op that TensorFlow does not have; None where it is not known."""
    by_prefix = next((who for begin, who in _PREFIXES.items() if op.startswith(begin)), None)
    return by_prefix or next((who for who, ops in _NAMES.items() if op in ops.split()), None)
