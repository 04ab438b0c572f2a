"""The command `zoo info`."""

from __future__ import annotations

from zoo.cli._console import out, print_facts, print_json
from zoo.cli._shared_options import AsJson, Name


def info(name: Name, as_json: AsJson = False) -> None:
    """Show a model's card and where it comes from."""
    from zoo import registries
    from zoo.cards import info as card_of
    from zoo.cards import is_remote

    card = card_of(name)
    origin = {"origin": name if is_remote(name) else registries.cards.origin(name)}
    stated = {"tag": card.tag, "license": card.license, "datasets": list(card.datasets)}
    if as_json:
        return print_json(card.model_dump(mode="json") | stated | origin)
    facts = card.model_dump(mode="json", exclude={"metadata", "text"}, exclude_none=True)
    if card.default:
        facts["default"] = "yes, the name without its tag loads it"
    print_facts({key: value for key, value in (facts | stated | origin).items() if value})
    print()
    if out.is_terminal:
        from rich.markdown import Markdown  # takes a while to import

        out.print(Markdown(card.text))
    else:
        print(card.text)
