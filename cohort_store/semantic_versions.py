"""Semantic versions, by the grammar and the order of semver.org 2.0.0, and ranges of them.

A text is a version when all of it is `MAJOR.MINOR.PATCH[-prerelease][+build]`: no `v` before it, no part left out,
no leading zeros. Numbers of more than 18 digits, and texts beyond 256 characters, make no version: the rest fits
64 bits, here and in ClickHouse.

Precedence (semver.org, 11): the three numbers; a prerelease comes before its release; identifiers of a prerelease one
by one, numbers by value and before words, words by their ASCII codes, fewer before more. Build metadata counts for
nothing. As a key that compares like that: `(major, minor, patch, is_release, ((is_word, number, word), …))`, which is
the same tuple in ClickHouse, with an array for the identifiers.

Ranges. ~1.2.3 is 1.2.3 up to 1.3.0; ^1.2.3 up to 2.0.0, ^0.2.3 up to 0.3.0, ^0.0.3 up to 0.0.4; 1.2.* is 1.2.0 up
to 1.3.0, 1.* is 1.0.0 up to 2.0.0, and * every version from 0.0.0. The lower end is in, by precedence. Nothing that
has the upper end's three numbers is in, its prereleases neither: 1.3.0-alpha is a 1.3, not a 1.2.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

VERSION_CHARS_MAX = 256

_NUMBER = r"(?:0|[1-9][0-9]{0,17})"
_IDENTIFIER = rf"(?:{_NUMBER}|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)"
VERSION_PATTERN = (
    rf"({_NUMBER})\.({_NUMBER})\.({_NUMBER})(?:-({_IDENTIFIER}(?:\.{_IDENTIFIER})*))?"
    r"(?:\+[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*)?"
)
"""A whole text must match it. RE2 reads it the same. Groups: three numbers, and the prerelease."""

_VERSION = re.compile(VERSION_PATTERN)
_WILDCARD = re.compile(rf"(?:({_NUMBER})\.(?:({_NUMBER})\.)?)?\*(?:\.\*)*")

Core = tuple[int, int, int]


class Version(NamedTuple):
    """A version as its precedence: compares as semver.org orders them, equal where they differ in build metadata."""

    major: int
    minor: int
    patch: int
    is_release: bool
    prerelease: tuple[tuple[bool, int, str], ...]

    @property
    def core(self) -> Core:
        return self.major, self.minor, self.patch


class VersionRange(NamedTuple):
    """From `lowest` on, by precedence, to what comes before the three numbers `below`; None: without end."""

    lowest: Version
    below: Core | None

    def holds(self, version: Version) -> bool:
        return version >= self.lowest and (self.below is None or version.core < self.below)


def version_of(text: str) -> Version | None:
    """The version that a whole text is; None where it is none."""
    match = _VERSION.fullmatch(text) if len(text) <= VERSION_CHARS_MAX else None
    if match is None:
        return None
    major, minor, patch, prerelease = match.groups()
    identifiers = tuple(map(_identifier, prerelease.split("."))) if prerelease else ()
    return Version(int(major), int(minor), int(patch), prerelease is None, identifiers)


def _identifier(text: str) -> tuple[bool, int, str]:
    return (False, int(text), "") if text.isdigit() else (True, 0, text)


def parse_version(value: Any) -> Version:
    """A definition's version; ValueError, with the remedy, for anything else."""
    version = version_of(value) if isinstance(value, str) else None
    if version is None:
        raise ValueError(f"{str(value)[:40]!r} is no semantic version; write all three numbers, in quotes: '1.2.0'")
    return version


def tilde(value: Any) -> VersionRange:
    """Versions that differ in the patch at most."""
    version = parse_version(value)
    return VersionRange(version, (version.major, version.minor + 1, 0))


def caret(value: Any) -> VersionRange:
    """Versions that leave the first number that is not 0 as it is."""
    version = parse_version(value)
    major, minor, patch = version.core
    if major:
        return VersionRange(version, (major + 1, 0, 0))
    return VersionRange(version, (0, minor + 1, 0) if minor else (0, 0, patch + 1))


def wildcard(value: Any) -> VersionRange:
    """Versions that begin with the numbers before the star."""
    match = _WILDCARD.fullmatch(value) if isinstance(value, str) and len(value) <= VERSION_CHARS_MAX else None
    if match is None:
        raise ValueError(f"{str(value)[:40]!r} is no version with a star; write it like '1.2.*' or '1.*', in quotes")
    major, minor = (None if number is None else int(number) for number in match.groups())
    lowest = Version(major or 0, minor or 0, 0, True, ())
    if major is None:
        return VersionRange(lowest, None)
    return VersionRange(lowest, (major + 1, 0, 0) if minor is None else (major, minor + 1, 0))
