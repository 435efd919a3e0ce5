"""Definitions as the YAML that `definition_text` reads back as the same values."""

from __future__ import annotations

from typing import Any

import yaml

from cohort_store.definition_text import is_text_unquoted

_WIDTH = 110


class _Dumper(yaml.SafeDumper):
    """Without anchors, which are refused when they are read; a text that could be taken for a number is quoted."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - none of them
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002 - lists are indented
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if is_text_unquoted(text) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def write_yaml(plain: Any) -> str:
    """Plain values as YAML, keys in their order."""
    return yaml.dump(plain, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)
