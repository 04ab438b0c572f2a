"""Cards: one markdown file per model, its front matter checked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveFloat, StringConstraints

from zoo.errors import ConfigError
from zoo.validation import validate

Task = Literal["completion", "super-resolution", "segmentation"]
Spacing = tuple[PositiveFloat, PositiveFloat, PositiveFloat]


def _ordered(window: tuple[float, float]) -> tuple[float, float]:
    if window[0] >= window[1]:
        raise ValueError("wanted the lowest intensity, then a higher one")
    return window


Window = Annotated[tuple[float, float], AfterValidator(_ordered)]
Windows = Annotated[tuple[Window, ...], Field(min_length=1)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class InputContract(_Frozen):
    """What a network was trained on, and so what every input is brought to.

    Attributes:
        kind: `binary`, occupied or not, or `intensity`, of which the windows say what is occupied.
        orientation: the axes i, j, k point to right, anterior, superior, as nearly as flips and
            permutations allow.
        spacing: mm between voxel centres along i, j, k that an input is resampled to if its own
            lies outside the next two.
        finest: smallest spacing, mm, at which an input's grid is used as it is.
        coarsest: largest one.
        windows: of intensity, lowest and highest in Hounsfield units; a voxel in any of them is
            occupied.
        exterior: Hounsfield units below which what reaches the border of its axial slice is air
            outside the body, and not occupied; None: nothing is left out.
    """

    kind: Literal["binary", "intensity"] = "binary"
    orientation: Literal["RAS"] = "RAS"
    spacing: Spacing
    finest: Spacing
    coarsest: Spacing
    windows: Windows | None = None
    exterior: float | None = None

    @classmethod
    def around(
        cls, spacing: float, finest: float = 0.75, coarsest: float = 1.3, **others: Any
    ) -> InputContract:
        """For a network trained on isotropic grids of that spacing, mm; takes so much of it."""
        return cls(
            spacing=(spacing,) * 3,
            finest=(finest * spacing,) * 3,
            coarsest=(coarsest * spacing,) * 3,
            **others,
        )

    def accepts(self, spacing: tuple[float, float, float]) -> bool:
        """Whether a grid of that spacing (mm) is used as it is."""
        limits = zip(self.finest, spacing, self.coarsest, strict=True)
        return all(low <= value <= high for low, value, high in limits)


REPOSITORY = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*/[A-Za-z0-9_][A-Za-z0-9_.-]*$"


class Weights(_Frozen):
    """Where a model's safetensors lie on the Hub, and what they must hash to."""

    repo: Annotated[str, StringConstraints(pattern=REPOSITORY)]
    file: Annotated[str, StringConstraints(pattern=r"^[\w-][\w.-]*\.safetensors$")]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    revision: Annotated[str, StringConstraints(pattern=r"^\w+([./-]\w+)*$")] | None = None


class Card(_Frozen):
    """Everything that is stated about one model.

    Attributes:
        name: the name to load it by.
        task: what its answer means.
        architecture: name in the architectures registry.
        config: the architecture's config.
        input: the input contract.
        labels: of a segmentation, the structures' names, from label 1 on.
        after: of super-resolution, the model whose answer is this one's input in a chain.
        weights: pinned weights; None for a network with random ones.
        metadata: the rest of the front matter, as the Hugging Face Hub reads it.
        text: the prose below it, markdown.
    """

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    task: Task
    architecture: str
    config: dict[str, Any] = {}
    input: InputContract
    labels: tuple[Annotated[str, StringConstraints(pattern=r"^[^\p{C}]{1,80}$")], ...] = ()
    after: str | None = None
    weights: Weights | None = None
    metadata: dict[str, Any] = Field(default={}, repr=False)
    text: str = Field(default="", repr=False)

    def to_markdown(self) -> str:
        """The card's file: front matter between two lines of dashes, then the prose."""
        block = self.model_dump(mode="json", exclude={"metadata", "text"}, exclude_none=True)
        if not self.labels:
            del block["labels"]
        front = yaml.safe_dump({**self.metadata, "zoo": block}, sort_keys=False, allow_unicode=True)
        return f"---\n{front}---\n\n{self.text}"


class _FrontMatter(yaml.SafeLoader):
    """Plain YAML without aliases: nine lines of them can stand for a billion values."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("wanted values, got an alias of one")
        return super().compose_node(parent, index)


def parse_card(content: str, *, source: str) -> Card:
    """Read a card's text.

    Raises:
        ConfigError: no front matter, not YAML, no `zoo:` block, or a key that does not fit.
    """
    if control := re.search(r"[^\n\r\t -~\xa0-\U0010ffff]", content):
        raise ConfigError(f"{source}: wanted text, got the control character {control[0]!r} in it")
    match = re.match(r"\A---[ \t]*\n(.*?)\n---[ \t]*\n(.*)\Z", content, re.DOTALL)
    if not match:
        raise ConfigError(f"{source}: a card begins with YAML front matter between two lines ---")
    try:
        front = yaml.load(match[1], _FrontMatter)
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(
            f"{source}: front matter is not YAML: {' '.join(str(error).split())}"
        ) from error
    if not isinstance(front, dict) or not isinstance(front.get("zoo"), dict):
        raise ConfigError(
            f"{source}: the front matter needs a block `zoo:`; it makes a file a card"
        )
    block = front.pop("zoo")
    return validate(Card, {**block, "metadata": front, "text": match[2].lstrip()}, source=source)


def read_card(path: str | Path) -> Card:
    """Read a card's file; see `parse_card`."""
    try:
        return parse_card(Path(path).read_text(encoding="utf-8"), source=str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"no readable card at {path}: {error}") from error


def name_from(text: str) -> str:
    """A card's name, made of a file's."""
    return re.sub(r"[^a-z0-9.-]+", "-", text.lower()).strip("-.") or "model"


def shipped_cards() -> Path:
    """The folder with the zoo's own cards and small weights: in the wheel, or in the checkout."""
    packaged = Path(__file__).parent / "model_cards"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / "cards"
