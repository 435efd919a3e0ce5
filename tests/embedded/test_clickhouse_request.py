"""Requests to ClickHouse's HTTP interface are read as ClickHouse reads them."""

import pytest

from processors.embedded.clickhouse_request import (
    BadRequest,
    decoder_for,
    first_word,
    may_become_insert,
    quoted,
    read_insert,
    read_options,
    read_query,
    without_format,
)


def test_url_parameters_fall_into_values_settings_and_the_rest() -> None:
    options = read_options(
        [("database", "shop"), ("param_a", "1"), ("max_threads", "2"), ("session_id", "s"), ("wait_end_of_query", "1")]
    )
    assert (options.database, options.whole) == ("shop", True)
    assert (dict(options.parameters), dict(options.settings)) == ({"a": "1"}, {"max_threads": "2"})


def test_a_setting_whose_name_is_sql_is_refused() -> None:
    with pytest.raises(BadRequest) as refusal:
        read_options([("a = 1, b", "2")])
    assert refusal.value.code == 115


@pytest.mark.parametrize(
    ("sql", "word"),
    [("select 1", "SELECT"), ("  -- note\n /* c */ ((SELECT 1))", "SELECT"), ("", ""), ("INSERT INTO t", "INSERT")],
)
def test_the_first_word_is_found_behind_comments_and_parentheses(sql: str, word: str) -> None:
    assert first_word(sql) == word


@pytest.mark.parametrize(
    ("sql", "written_in", "streams"),
    [
        ("SELECT 1", "TabSeparated", True),
        ("SELECT 1 FORMAT Native", "Native", True),
        ("SELECT 1 FORMAT JSON;", "JSON", False),
        ("SELECT 1 FORMAT CSV SETTINGS max_threads = 1", "CSV", True),
        ("SHOW TABLES FORMAT Native", "Native", False),
        ("SELECT 'FORMAT Native' AS text", "TabSeparated", True),
    ],
)
def test_a_statement_tells_the_format_of_its_answer(sql: str, written_in: str, streams: bool) -> None:
    query = read_query(sql, "TabSeparated")
    assert (query.format, query.can_stream) == (written_in, streams)


def test_a_statement_loses_its_format_clause_and_nothing_else() -> None:
    assert without_format("SELECT 1\n FORMAT Native").rstrip() == "SELECT 1"
    assert without_format("SELECT 1") == "SELECT 1"


def test_rows_begin_behind_the_first_newline_after_the_format() -> None:
    head = read_insert("", b"INSERT INTO t\n(a, b) FORMAT Native\n\x01\nrest")
    assert head is not None
    assert (head.sql, head.format, head.rows) == ("INSERT INTO t\n(a, b)", "Native", b"\x01\nrest")


def test_an_insert_in_the_url_takes_the_whole_body_as_rows() -> None:
    head = read_insert("INSERT INTO t FORMAT CSV", b"1,2\n")
    assert head is not None
    assert (head.sql, head.rows) == ("INSERT INTO t", b"1,2\n")


@pytest.mark.parametrize("body", [b"INSERT INTO t VALUES (1)", b"INSERT INTO t SELECT 1", b"SELECT 1 FORMAT CSV\n"])
def test_a_statement_without_rows_behind_it_is_no_insert_head(body: bytes) -> None:
    assert read_insert("", body) is None


def test_more_bytes_are_awaited_only_while_an_insert_is_possible() -> None:
    assert may_become_insert(b"")
    assert may_become_insert(b" ins")
    assert may_become_insert(b"INSERT INTO t FORM")
    assert not may_become_insert(b"SELECT")


def test_a_string_literal_cannot_be_left_by_its_content() -> None:
    assert quoted("a'b\\") == "'a\\'b\\\\'"


def test_an_unknown_content_encoding_names_the_known_ones() -> None:
    with pytest.raises(BadRequest, match="'br': use identity, gzip, deflate, lz4, zstd"):
        decoder_for("br")
