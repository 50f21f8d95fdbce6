"""Who provides ops that TensorFlow does not have: the import that registers them.

Source: the op registry with tensorflow_text 2.12 and struct2tensor 0.44 loaded; the libraries of
tf.contrib in TensorFlow 1.15; the others have names with a prefix.
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
    "tf.contrib, which TensorFlow 2 does not have,": """
        AdjustHsvInYiq BigtableClient BigtableLookupDataset BigtablePrefixKeyDataset
        BigtableRangeKeyDataset BigtableSampleKeyPairsDataset BigtableSampleKeysDataset
        BigtableScanDataset BigtableTable BipartiteMatch BucketizeWithInputBoundaries
        BuildCategoricalEqualitySplits BuildDenseInequalitySplits
        BuildSparseInequalitySplits BytesInUse BytesLimit CenterTreeEnsembleBias
        CreateFertileStatsVariable CreateQuantileAccumulator CreateStatsAccumulatorScalar
        CreateStatsAccumulatorTensor CreateTreeEnsembleVariable CreateTreeVariable
        DatasetToBigtable DecisionTreeEnsembleResourceHandleOp DecisionTreeResourceHandleOp
        DecodeAudio DecodeAudioV2 DecodeLibsvm DecodeVideo EncodeAudio EncodeAudioV2
        FeatureUsageCounts FertileStatsDeserialize FertileStatsIsInitializedOp
        FertileStatsResourceHandleOp FertileStatsSerialize FinalizeTree
        FusedConv2DBiasActivation GatherTree GradientTreesPartitionExamples
        GradientTreesPrediction GradientTreesPredictionVerbose GrowTreeEnsemble GrowTreeV4
        HardRoutingFunction IgniteDataset ImageConnectedComponents ImageProjectiveTransform
        KFeatureGradient KFeatureRoutingFunction KafkaDataset KinesisDataset
        MakeQuantileSummaries MaskedMatmul MaxBytesInUse ObtainNext PeriodicResample
        PeriodicResampleOpGrad ProcessInputV4 QuantileAccumulatorAddSummaries
        QuantileAccumulatorDeserialize QuantileAccumulatorFlush
        QuantileAccumulatorFlushSummary QuantileAccumulatorGetBuckets
        QuantileAccumulatorIsInitialized QuantileAccumulatorSerialize QuantileBuckets
        QuantileStreamResourceHandleOp Quantiles ReduceSliceMax ReduceSliceMin
        ReduceSliceProd ReduceSliceSum ReinterpretStringToFloat Resampler ResamplerGrad
        RoutingFunction RoutingGradient ScatterAddNdim SequenceFileDataset
        SingleImageRandomDotStereograms SkipGramGenerateCandidates SparseFeatureCross
        SparseFeatureCrossV2 StatsAccumulatorScalarAdd StatsAccumulatorScalarDeserialize
        StatsAccumulatorScalarFlush StatsAccumulatorScalarIsInitialized
        StatsAccumulatorScalarMakeSummary StatsAccumulatorScalarResourceHandleOp
        StatsAccumulatorScalarSerialize StatsAccumulatorTensorAdd
        StatsAccumulatorTensorDeserialize StatsAccumulatorTensorFlush
        StatsAccumulatorTensorIsInitialized StatsAccumulatorTensorMakeSummary
        StatsAccumulatorTensorResourceHandleOp StatsAccumulatorTensorSerialize
        StochasticHardRoutingFunction StochasticHardRoutingGradient TraverseTreeV4
        TreeDeserialize TreeEnsembleDeserialize TreeEnsembleIsInitializedOp
        TreeEnsembleSerialize TreeEnsembleStampToken TreeEnsembleStats
        TreeEnsembleUsedHandlers TreeIsInitializedOp TreePredictionsV4 TreeSerialize
        TreeSize UnpackPath UpdateModelV4 WALSComputePartialLhsAndRhs ZeroInitializer
        ZeroVarInitializer
    """,
}


def provider(op: str) -> str | None:
    """What registers an op that TensorFlow does not have; None where it is not known."""
    by_prefix = next((who for begin, who in _PREFIXES.items() if op.startswith(begin)), None)
    return by_prefix or next((who for who, ops in _NAMES.items() if op in ops.split()), None)
