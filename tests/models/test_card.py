"""Cards: the schema, and every card that ships."""

import pytest
import yaml

import zoo
from zoo import registries
from zoo.cards import parse_card, sha256_of
from zoo.errors import ConfigError, NotRegistered
from zoo.models.loading import build_network
from zoo.models.weights import metadata_of
from zoo.registries import shipped_cards
from zoo.training import read_config

BLOCK = {
    "name": "some-model",
    "task": "completion",
    "architecture": "sparse-completion",
    "config": {"channels": [2, 2, 4, 4, 4, 4, 16]},
    "input": {"spacing": [3, 3, 3], "finest": [2, 2, 2], "coarsest": [4, 4, 4]},
    "weights": {"repo": "org/repo", "file": "model.safetensors", "sha256": "0" * 64},
}


def text_of(block, **front):
    return f"---\n{yaml.safe_dump({'license': 'mit', 'zoo': block, **front})}---\n\n# Prose\n"


def test_a_card_reads_and_writes_back():
    card = parse_card(text_of(BLOCK), source="here")
    assert card.name == "some-model" and card.text == "# Prose\n"
    assert card.metadata == {"license": "mit"}
    assert parse_card(card.to_markdown(), source="there") == card


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("# no front matter", "front matter"),
        ("---\na: [\n---\n", "not YAML"),
        ("---\nlicense: mit\n---\n", "block `zoo:`"),
        ("---\nzoo: !!python/object/apply:os.system ['true']\n---\n", "not YAML"),
        (text_of(BLOCK | {"task": "magic"}), "task: .*got 'magic'"),
        (text_of(BLOCK | {"tsk": "x"}), "tsk: "),
        (text_of(BLOCK | {"weights": BLOCK["weights"] | {"sha256": "12"}}), "weights.sha256: "),
        (text_of(BLOCK | {"weights": BLOCK["weights"] | {"file": "../x"}}), "weights.file: "),
        (text_of(BLOCK | {"name": "../../x"}), "name: "),
    ],
)
def test_bad_cards_are_refused_in_one_line(content, message):
    with pytest.raises(ConfigError, match=message) as caught:
        parse_card(content, source="here.md")
    assert str(caught.value).startswith("here.md: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize("requires", [">=99", "<0.1"])
def test_a_card_for_another_version_says_what_to_install(requires):
    block = BLOCK | {"requires": requires, "unknown": "to this version"}
    with pytest.raises(ConfigError, match=rf"pip install 'sparse-volume-zoo{requires}'"):
        parse_card(text_of(block), source="here.md")
    with pytest.raises(ConfigError, match=r"requires: .*wanted versions"):
        parse_card(text_of(BLOCK | {"requires": "new"}), source="here.md")
    assert parse_card(text_of(BLOCK | {"requires": ">=0.1"}), source="here.md")


SHIPPED = [name for name in registries.cards.names() if not registries.cards.tagged(name)]


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_card_has_its_weights_and_says_what_must_be_said(name):
    card = zoo.info(name)
    assert card.name == name
    assert sha256_of(shipped_cards() / f"{name}.safetensors") == card.weights.sha256
    assert (shipped_cards() / f"{name}.yaml").is_file()
    assert "zoo evaluate" in card.text and "zoo train" in card.text
    assert "phantom" in card.text and "esearch use" in card.text
    assert card.metadata["license"] and card.metadata["library_name"] == "sparse-volume-zoo"
    network = build_network(card)
    assert sum(p.numel() for p in network.parameters()) > 0


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_weights_were_trained_by_the_recipe_beside_them(name):
    facts = metadata_of((shipped_cards() / f"{name}.safetensors").read_bytes())
    recipe = read_config(shipped_cards() / f"{name}.yaml")
    assert facts["training_config_sha256"] == recipe.sha256()


def test_models_are_listed_with_their_tags_and_without():
    names = zoo.list_models("skull-completion-64*", task="completion")
    assert names[0] == "skull-completion-64" and "skull-completion-64.phantom" in names
    assert zoo.list_models("nothing*") == []
    assert zoo.list_models(task="segmentation") == ["thorax-segmentation-128"]
    finer = [f"skull-superres-{n}.phantom" for n in (128, 256, 512)]
    assert zoo.list_models("*.phantom", task="super-resolution") == finer
    assert [zoo.info(name).after for name in finer] == [None, *finer[:2]]


def test_a_name_without_its_tag_is_that_of_the_default(tmp_path, monkeypatch):
    def write(name, default):
        front = text_of(BLOCK | {"name": name, "default": default})
        (tmp_path / f"{name}.md").write_text(front)

    write("head-64.real", True)
    write("head-64.made", False)
    write("alone.made", False)
    write("plain-1.5", False)
    cards = registries.CardRegistry("none", "model", tmp_path, registries.cards.read)
    assert cards.names() == [
        *("alone", "alone.made", "head-64", "head-64.made", "head-64.real", "plain-1.5")
    ]
    assert cards.get("head-64").name == "head-64.real" and cards.get("head-64").tag == "real"
    assert cards.get("alone").name == "alone.made"  # there is no other
    assert cards.get("plain-1.5").tag is None and cards.origin("head-64") == "zoo"
    assert cards.path("head-64") == tmp_path / "head-64.real.md"
    write("head-64.made", True)
    with pytest.raises(NotRegistered, match=r"several are the default; load one of head-64.made"):
        cards.get("head-64")
    write("head-64.made", False)
    write("head-64.real", False)
    with pytest.raises(NotRegistered, match=r"none is the default; load one of head-64.made, head"):
        cards.get("head-64")
    assert cards.origin("head-64") == "zoo"  # which needs no default: `zoo list` goes on
