"""Cards: one markdown file per model, with checked front matter."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from zoo import registries
from zoo.contract import InputContract
from zoo.errors import ConfigError, one_line
from zoo.validation import plain_yaml, validate
from zoo.version import __version__


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _registered(task: str) -> str:
    if task not in registries.tasks:
        raise ValueError(f"unknown task; the tasks are {', '.join(registries.tasks.names())}")
    return task


def _specifier(requires: str) -> str:
    try:
        return str(SpecifierSet(requires))
    except InvalidSpecifier as error:
        raise ValueError("wanted versions as pip writes them, such as >=0.2") from error


TaskName = Annotated[str, AfterValidator(_registered)]
REPOSITORY = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*/[A-Za-z0-9_][A-Za-z0-9_.-]*$"


class Weights(_Frozen):
    """The location of a model's weights on the Hub, and their sha256.

    Attributes:
        repo: ORG/REPO.
        file: name of the safetensors file in it.
        sha256: hex digest that the file must have.
        revision: branch, tag or commit; None for the default branch.
    """

    repo: Annotated[str, StringConstraints(pattern=REPOSITORY)]
    file: Annotated[str, StringConstraints(pattern=r"^[\w-][\w.-]*\.safetensors$")]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    revision: Annotated[str, StringConstraints(pattern=r"^\w+([./-]\w+)*$")] | None = None


class Card(_Frozen):
    """Everything that is stated about one model; `zoo.info` reads the card of a name.

        >>> import zoo
        >>> card = zoo.info("thorax-segmentation-128")
        >>> card.labels, card.license, card.input.spacing
        (('oesophagus', 'heart', 'trachea', 'aorta'), 'apache-2.0', (3.0, 3.0, 3.0))

    Attributes:
        name: the name to load the model by; what follows its last dot, if anything, is the tag,
            which says what the weights were trained on.
        default: whether the name without the tag stands for this model.
        status: `demonstration`, if it shows the method and is not good at its task on real data.
        requires: versions of the zoo that can load it, as pip writes them: `>=0.2`.
        task: name of its task in the tasks registry.
        architecture: name of its architecture in the architectures registry.
        config: the architecture's config.
        input: the input contract: spacing in mm, and how intensities are used.
        labels: for segmentation, the names of the structures, from label 1 on.
        merged: of those that were merged or renamed for training, the names or values of what
            they are made of in the data set.
        after: for super-resolution, the model whose prediction is this one's input in a chain.
        scans: for super-resolution, the model that predicts instead on a scan with a threshold,
            whose values it takes into account.
        ensemble: for completion, models for coarser grids, with whose predictions this one's is
            averaged.
        weights: the pinned weights; None for a network with random weights.
        metadata: the rest of the front matter, which the Hugging Face Hub reads.
        text: the prose below the front matter, markdown.
    """

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    default: bool = False
    status: Literal["demonstration"] | None = None
    requires: Annotated[str, AfterValidator(_specifier)] | None = None
    task: TaskName
    architecture: str
    config: dict[str, Any] = {}
    input: InputContract
    labels: tuple[Annotated[str, StringConstraints(pattern=r"^[^\p{C}]{1,80}$")], ...] = ()
    merged: dict[str, tuple[int | str, ...]] = {}
    after: str | None = None
    scans: str | None = None
    ensemble: Annotated[tuple[str, ...], Field(max_length=16)] = ()
    weights: Weights | None = None
    metadata: dict[str, Any] = Field(default={}, repr=False)
    text: str = Field(default="", repr=False)

    @property
    def tag(self) -> str | None:
        """What the weights were trained on, in a word: the end of the name; None without one."""
        match = registries.TAGGED.match(self.name)
        return match[2] if match else None

    @property
    def license(self) -> str | None:
        """The licence of the weights, by its identifier on the Hub."""
        found = self.metadata.get("license")
        return str(found) if found else None

    @property
    def datasets(self) -> tuple[str, ...]:
        """The data sets that the weights were trained on, by their identifiers on the Hub."""
        found = self.metadata.get("datasets") or ()
        return tuple(map(str, found)) if isinstance(found, list | tuple) else (str(found),)

    @property
    def sha256(self) -> str | None:
        """That of the pinned weights; None for random ones."""
        return self.weights.sha256 if self.weights else None

    def to_markdown(self) -> str:
        """Write the card as a file: front matter between two lines of dashes, then the prose.

            >>> import zoo
            >>> zoo.info("skull-completion-64").to_markdown().splitlines()[0]
            '---'

        Returns:
            The text, which `parse_card` reads.
        """
        block = self.model_dump(mode="json", exclude={"metadata", "text"}, exclude_none=True)
        block["input"] = _rounded(block["input"])
        for key in ("labels", "merged", "default", "ensemble"):
            if not block[key]:
                del block[key]
        front = yaml.safe_dump({**self.metadata, "zoo": block}, sort_keys=False, allow_unicode=True)
        return f"---\n{front}---\n\n{self.text}"

    def __str__(self) -> str:
        """Name and task, the spacing of what it was trained on, the licence."""
        grid = f", {self.input.spacing[0]:.4g} mm" if self.weights else ""
        licence = f", {self.license}" if self.license else ""
        return f"{self.name}, {self.task}{grid}{licence}"

    def __repr__(self) -> str:
        return f"Card({self})"

    def _repr_html_(self) -> str:
        """What a notebook shows: a picture and a table of facts, which survive export."""
        return str(registries.showing("html_of")(self))


def _rounded(values: Any) -> Any:
    """Numbers without the rounding of binary fractions: 2.4, not 2.4000000000000004."""
    if isinstance(values, dict):
        return {key: _rounded(value) for key, value in values.items()}
    if isinstance(values, list):
        return [_rounded(value) for value in values]
    return round(values, 10) if isinstance(values, float) else values


def parse_card(content: str, *, source: str) -> Card:
    """Parse the text of a card.

    Args:
        content: the text.
        source: where it comes from, for error messages.

    Raises:
        ConfigError: there is no front matter, it is not YAML, it has no block `zoo:`, or a key does
            not fit.
    """
    if control := re.search(r"[^\n\r\t -~\xa0-\U0010ffff]", content):
        raise ConfigError(f"{source}: wanted text, got the control character {control[0]!r} in it")
    match = re.match(r"\A---[ \t]*\n(.*?)\n---[ \t]*\n(.*)\Z", content, re.DOTALL)
    if not match:
        raise ConfigError(f"{source}: a card begins with YAML front matter between two lines ---")
    try:
        front = plain_yaml(match[1])
    except yaml.YAMLError as error:
        raise ConfigError(f"{source}: front matter is not YAML: {one_line(error)}") from error
    if not isinstance(front, dict) or not isinstance(front.get("zoo"), dict):
        raise ConfigError(
            f"{source}: the front matter needs a block `zoo:`, which makes a file a card"
        )
    block = front.pop("zoo")
    _check_version(block.get("requires"), source)
    return validate(Card, {**block, "metadata": front, "text": match[2].lstrip()}, source=source)


def _check_version(requires: Any, source: str) -> None:
    """Raise ConfigError if a card is for another version, whose keys may be unknown here."""
    try:
        fits = requires is None or SpecifierSet(str(requires)).contains(__version__, True)
    except InvalidSpecifier:
        return  # the schema says what is wrong with it
    if not fits:
        raise ConfigError(
            f"{source}: wanted version {requires} of sparse-volume-zoo, got {__version__};"
            f" pip install 'sparse-volume-zoo{requires}'"
        )


def read_card(path: str | Path) -> Card:
    """Read a card from its file; see `parse_card`."""
    try:
        return parse_card(Path(path).read_text(encoding="utf-8"), source=str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"no readable card at {path}: {error}") from error


def name_from(text: str) -> str:
    """Make a card's name from the name of a file."""
    return re.sub(r"[^a-z0-9.-]+", "-", text.lower()).strip("-.") or "model"


def model_config(card: Card) -> dict[str, object]:
    """The content of config.json: the architecture and its config."""
    return {"architecture": card.architecture, "config": card.config}
