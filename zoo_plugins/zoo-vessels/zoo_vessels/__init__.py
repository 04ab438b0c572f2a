"""Vessels in CT angiograms: a model plugin of `zoo`. Importing it loads nothing."""

from pathlib import Path

zoo_plugin_api_version = 2
CARD = Path(__file__).parent / "cards" / "vessel-segmentation-128.md"
