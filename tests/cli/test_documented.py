"""docs/cli.md documents every verb and every option, and nothing that is not there."""

import argparse
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from tvm_narcost.cli.main import VERBS

PAGE = Path(__file__).parent.parent.parent / "docs" / "cli.md"


def sections() -> dict[str, str]:
    """Verb -> what the page says of it."""
    parts = re.split(r"^## narcost (\S+)$", PAGE.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Of the verb, and of the verbs below it."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from actions(below)


def test_every_verb_has_a_section_and_every_section_a_verb() -> None:
    assert list(sections()) == list(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_options_on_the_page_are_those_of_the_verb(verb: str) -> None:
    parser = argparse.ArgumentParser()
    import_module(VERBS[verb][0]).add_arguments(parser)
    declared = {option for action in actions(parser) for option in action.option_strings if option.startswith("--")}
    documented = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", sections()[verb]))
    assert documented == declared - {"--help"}
