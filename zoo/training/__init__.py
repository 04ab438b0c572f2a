"""Training: turns a typed config into checkpoints that resume and a model's folder.

It is generic: samples, loss and validation scores come from the architecture's task.
"""

from zoo.training._loop import CHECKPOINT
from zoo.training.augmentation import augment
from zoo.training.cache import GridCache, Grids, generator_digest
from zoo.training.config import (
    EVALUATION_SEEDS,
    VALIDATION_SEEDS,
    AugmentationConfig,
    CasesConfig,
    DatasetConfig,
    PhantomConfig,
    PoseConfig,
    ScanConfig,
    Section,
    TrainingConfig,
)
from zoo.training.deformation import deform
from zoo.training.losses import coverage_loss, deep_supervision, occupancy_loss
from zoo.training.planning import TrainingPlan, plan
from zoo.training.run import train
from zoo.training.samples import (
    Batch,
    CoveredShape,
    CoveredTarget,
    Sample,
    Shape,
    place_pair,
    sparse_input,
)
from zoo.training.scans import augment_scan
from zoo.training.task import (
    CountsCases,
    Scores,
    Training,
    check_config,
    read_config,
    training_class,
)

__all__ = [
    "CHECKPOINT",
    "EVALUATION_SEEDS",
    "VALIDATION_SEEDS",
    "AugmentationConfig",
    "Batch",
    "CasesConfig",
    "CountsCases",
    "CoveredShape",
    "CoveredTarget",
    "DatasetConfig",
    "GridCache",
    "Grids",
    "PhantomConfig",
    "PoseConfig",
    "Sample",
    "ScanConfig",
    "Scores",
    "Section",
    "Shape",
    "Training",
    "TrainingConfig",
    "TrainingPlan",
    "augment",
    "augment_scan",
    "check_config",
    "coverage_loss",
    "deep_supervision",
    "deform",
    "generator_digest",
    "occupancy_loss",
    "place_pair",
    "plan",
    "read_config",
    "sparse_input",
    "train",
    "training_class",
]
