"""Networks: layers, heads, and the architectures made of them; no weights and no files."""

from zoo.networks.application import (
    GeneratedCoverage,
    coarsest_voxel,
    generated_coverage,
    generated_occupancy,
)
from zoo.networks.completion import SparseCompletion
from zoo.networks.generative import GenerativeConfig, GenerativeNetwork, LevelOutput
from zoo.networks.heads import LabelsHead, OccupancyHead, head_of_kind
from zoo.networks.layers import (
    Convolution,
    GenerativeTransposedConvolution,
    Residual,
    TransposedConvolution,
    Unit,
)
from zoo.networks.segmentation import SegmentationConfig, SparseSegmentation
from zoo.networks.super_resolution import SparseSuperResolution

__all__ = [
    "Convolution",
    "GeneratedCoverage",
    "GenerativeConfig",
    "GenerativeNetwork",
    "GenerativeTransposedConvolution",
    "LabelsHead",
    "LevelOutput",
    "OccupancyHead",
    "Residual",
    "SegmentationConfig",
    "SparseCompletion",
    "SparseSegmentation",
    "SparseSuperResolution",
    "TransposedConvolution",
    "Unit",
    "coarsest_voxel",
    "generated_coverage",
    "generated_occupancy",
    "head_of_kind",
]
