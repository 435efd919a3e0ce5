"""`muster up` as a user has it: one process tree, found by the other commands, and gone when it ends."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cohort_store.durations import format_instant, parse_instant_ms
from cohort_store.settings import Settings
from processors.cli.application import run
from processors.roles import WIRINGS
from processors.up.configuration import CONFIGURATION_FILE
from processors.up.installation import BESIDE_LIVE_EVENTS

ROOT = Path(__file__).resolve().parents[2]
SHOP = ROOT / "examples" / "shop"
READY_DEADLINE_S = 90.0
DEADLINE_S = 30.0
END_S_MAX = 15.0

# Of the log when it has just ended, and for more than half a day after it.
REGULARS, ASSISTED = 22, 142

pytestmark = [
    pytest.mark.services,
    pytest.mark.timeout(300),
    pytest.mark.skipif(sys.platform != "linux", reason="/proc"),
]


def environment() -> dict[str, str]:
    ours = {f"MUSTER_{name.upper()}" for name in Settings.model_fields} | {"MUSTER_CONFIG"}
    return {name: value for name, value in os.environ.items() if name not in ours} | {"PYTHONPATH": str(ROOT)}


class Said(NamedTuple):
    """What a command did."""

    returncode: int
    stdout: str
    stderr: str


@dataclass
class Up:
    """A running `muster up`, in a working directory of its own."""

    folder: Path
    process: subprocess.Popen[str]
    addresses: dict[str, str]

    def muster(self, *arguments: str) -> Said:
        """A command as from a second terminal in the same folder. In this process: starting one takes a second."""
        out, err = StringIO(), StringIO()
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.chdir(self.folder),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            for name in set(os.environ) - set(environment()):
                patch.delenv(name)
            patch.setenv("MUSTER_CONFIG", "")
            patch.delenv("MUSTER_CONFIG")
            status = run(list(arguments))
        return Said(status, out.getvalue(), err.getvalue())

    def answer(self, *arguments: str) -> Any:
        done = self.muster(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def tree(self) -> set[int]:
        return {self.process.pid, *descendants(self.process.pid)}


def start(folder: Path, before: str = "", **chosen: str) -> Up:
    """`before` is Python that the process runs first."""
    process = subprocess.Popen(
        [sys.executable, "-c", f"{before}\nfrom processors.cli import main; main()", "up", "--json"],
        cwd=folder,
        env=environment() | {"MUSTER_EVALUATOR_PORT": "0", "MUSTER_CONTROL_PORT": "0", "MUSTER_SHARDS": "32"} | chosen,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("{"), line + process.stdout.read()
    return Up(folder, process, json.loads(line)["addresses"])


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    running = start(tmp_path_factory.mktemp("up"), MUSTER_BACKFILL_PART_PERSONS="777")
    yield running
    running.process.terminate()
    running.process.wait(END_S_MAX)


@pytest.fixture(scope="module")
def shop(up: Up) -> Up:
    """With the shop's definitions in force and its events folded."""
    done = up.muster("apply", str(SHOP / "cohorts.yaml"), str(SHOP / "flags.yaml"))
    assert done.returncode == 0, done.stderr
    sent = up.answer("send", str(SHOP / "events.csv.gz"), "--end", "now")
    assert (sent["sent"], sent["refused"]) == (31_106, 0)
    eventually(lambda: (stored(up, "regulars"), stored(up, "unassisted")) == (REGULARS, ASSISTED))
    return up


def stored(up: Up, cohort: str) -> int:
    count: int = up.answer("who", cohort, "--limit", "0")["stored"]
    return count


def eventually(holds: Callable[[], bool], within_s: float = DEADLINE_S) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def descendants(pid: int) -> set[int]:
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int(re.sub(r".*\) ", "", (entry / "stat").read_text()).split()[1])
            except OSError:
                continue
    found: set[int] = set()
    level = {pid}
    while level:
        level = {child for child, parent in parents.items() if parent in level}
        found |= level
    return found


def alive(pids: set[int]) -> set[int]:
    found = set()
    for pid in pids:
        try:
            state = re.sub(r".*\) ", "", Path(f"/proc/{pid}/stat").read_text()).split()[0]
        except OSError:
            continue
        if state != "Z":
            found.add(pid)
    return found


def test_every_part_and_role_has_an_address(up: Up) -> None:
    assert set(up.addresses) == {"broker", "view", "history", *WIRINGS}


def test_a_backfill_is_bounded_as_on_shared_processors_and_as_is_set(up: Up) -> None:
    settings = tomllib.loads((up.folder / "muster-data" / CONFIGURATION_FILE).read_text())
    bounds = {name: settings[name] for name in BESIDE_LIVE_EVENTS}
    assert bounds == BESIDE_LIVE_EVENTS
    assert settings["backfill_part_persons"] == 777


def test_doctor_finds_everything_well(shop: Up) -> None:
    found = shop.muster("doctor", "--json")
    assert found.returncode == 0, found.stdout


def test_who_pages_through_a_cohort_without_repeating_anybody(shop: Up) -> None:
    first = shop.answer("who", "regulars", "--limit", "10")
    assert (len(first["ids"]), first["complemented"]) == (10, False)
    rest = shop.answer("who", "regulars", "--limit", "1000", "--cursor", first["cursor"])
    assert len({*first["ids"], *rest["ids"]}) == len(first["ids"]) + len(rest["ids"]) == REGULARS


def test_who_says_that_a_negative_cohort_is_kept_by_its_exceptions(shop: Up) -> None:
    eventually(lambda: shop.answer("who", "unassisted")["known_persons"] == 600)
    found = shop.answer("who", "unassisted")
    assert (found["complemented"], found["stored"], found["shards_ready"]) == (True, ASSISTED, 32)
    done = shop.muster("who", "unassisted")
    assert "all but 142" in done.stdout
    assert "458 of the 600 persons" in done.stdout
    assert "who is not in it" in done.stdout


def test_who_of_an_unknown_cohort_fails_and_names_those_that_exist(shop: Up) -> None:
    done = shop.muster("who", "regular")
    assert done.returncode == 1
    assert "regulars" in done.stderr


def test_a_persons_answer_says_which_cohorts_as_of_when_and_what_is_stored(shop: Up) -> None:
    (member, *_) = shop.answer("who", "regulars")["ids"]
    eventually(lambda: status(shop, member, "regulars") == "OK")
    found = shop.answer("person", member)
    assert {each["cohort"]: each["member"] for each in found["cohorts"]}["regulars"] is True
    assert found["data_age_ms"] < 60_000
    assert found["record"]["timelines"]
    (line,) = [line for line in shop.muster("person", member).stdout.splitlines() if line.startswith("regulars ")]
    assert line.split() == ["regulars", "1", "in", "OK"]


def status(up: Up, person: str, cohort: str) -> str:
    """How good the answer about one cohort is; good once its history was filled in."""
    standings: dict[str, str] = {each["cohort"]: each["status"] for each in up.answer("person", person)["cohorts"]}
    return standings[cohort]


def test_somebody_never_seen_is_in_the_negative_cohorts_only(shop: Up) -> None:
    found = shop.answer("person", "never-seen")
    assert found["known"] is False
    members = {each["cohort"] for each in found["cohorts"] if each["member"]}
    assert members == {"unassisted", "rarely-searching"}


def test_why_shows_what_decides_a_membership_and_until_when(shop: Up) -> None:
    (member, *_) = shop.answer("who", "regulars")["ids"]
    found = shop.answer("why", member, "regulars")
    why = found["why"]
    assert (why["member"], why["version"], found["known"], found["from_history"]) == (True, 1, True, False)
    (deciding,) = why["reason"]["decided_by"]
    assert (deciding["events"], len(deciding["times"])) == ("purchase", 3)
    assert why["changes_at"] == why["reason"]["changes_at"] > why["now"]
    said = shop.muster("why", member, "regulars").stdout
    assert f"{member} is in regulars (version 1) at " in said
    assert f"3 x purchase: {', '.join(deciding['times'])}" in said
    assert shop.answer("why", member, "regulars", "--at", why["changes_at"])["why"]["member"] is False


def test_why_at_an_instant_that_is_past_is_told_out_of_the_history(shop: Up) -> None:
    eventually(lambda: shop.answer("who", "unassisted")["known_persons"] == 600)
    member = shop.answer("who", "lapsed-searchers")["ids"][0]
    now = shop.answer("why", member, "lapsed-searchers")["why"]
    last = parse_instant_ms(now["reason"]["decided_by"][0]["times"][-1])
    day_ms = 86_400_000
    for at_ms, is_in in ((last, False), (last + 30 * day_ms - 1, False), (last + 30 * day_ms, True)):
        found = shop.answer("why", member, "lapsed-searchers", "--at", format_instant(at_ms))
        assert (found["why"]["member"], found["from_history"]) == (is_in, True)
    refused = shop.muster("why", member, "lapsed-searchers", "--at", "2001-01-01")
    assert refused.returncode == 1
    assert "the history begins at" in refused.stderr


def test_status_shows_sizes_states_and_entries(shop: Up) -> None:
    eventually(lambda: any(window["entered"] for window in shop.answer("status")["flow"]))
    found = shop.answer("status")
    assert {cohort["key"]: cohort["size"] for cohort in found["cohorts"]}["regulars"] == REGULARS
    assert found["shards"]["ready"] == found["shards"]["total"] == 32
    assert "regulars" in shop.muster("status").stdout


def test_a_flag_over_http_agrees_with_the_cohort_that_it_asks(shop: Up) -> None:
    (member, *_) = shop.answer("who", "window-shoppers", "--limit", "1")["ids"]
    request = urllib.request.Request(
        f"{shop.addresses['evaluator']}/flags?v=2",
        data=json.dumps({"token": "phc_muster", "distinct_id": member}).encode(),
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        flags = json.load(response)["flags"]
    assert flags["welcome-discount"]["enabled"] is True
    assert flags["welcome-discount"]["variant"] in ("control", "five-percent", "ten-percent")
    assert flags["offer-help"]["enabled"] is False


def test_watch_tells_changes_in_the_wire_format_of_consumers(shop: Up) -> None:
    done = shop.muster("watch", "--from-start", "--cohort", "regulars", "--limit", "3", "--json")
    changes = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(changes) == 3
    assert all(change["cohort"] == "regulars" and change["status"] in ("entered", "left") for change in changes)


def test_applying_the_same_files_again_changes_nothing(shop: Up) -> None:
    again = shop.answer("apply", str(SHOP / "cohorts.yaml"), str(SHOP / "flags.yaml"))
    assert {change["action"] for change in again["changes"]} == {"unchanged"}


def test_a_refused_definition_is_named_by_file_and_line_and_nothing_is_written(shop: Up) -> None:
    bad = shop.folder / "bad.yaml"
    bad.write_text("cohorts:\n  - key: eager\n    when: {kind: count, event: buy, n: 5000, within: 7d}\n")
    before = shop.answer("status")["applied"]
    done = shop.muster("apply", str(bad))
    assert done.returncode == 1
    assert "bad.yaml:3" in done.stderr
    assert "1000" in done.stderr
    assert shop.answer("status")["applied"] == before


def test_a_second_up_on_the_folder_is_refused_with_the_firsts_process_number(up: Up) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "processors.cli", "up"],
        cwd=up.folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert f"process {up.process.pid}" in done.stderr
    assert up.process.poll() is None
    assert up.muster("status").returncode == 0


def test_another_folder_reaches_it_by_naming_the_data_folder(up: Up, tmp_path: Path) -> None:
    elsewhere = Up(tmp_path, up.process, up.addresses)
    assert elsewhere.muster("--data", str(up.folder / "muster-data"), "status").returncode == 0
    assert elsewhere.muster("status").returncode == 1


def test_a_killed_role_is_started_again_and_goes_on(shop: Up) -> None:
    log = shop.folder / "muster-data" / "logs"
    assert (log / "membership.log").exists()
    (owner,) = [pid for pid in shop.tree() if _command(pid).endswith("processors.cli\0membership\0")]
    os.kill(owner, signal.SIGKILL)
    eventually(lambda: any(_command(pid).endswith("processors.cli\0membership\0") for pid in shop.tree() - {owner}))
    eventually(lambda: shop.muster("doctor").returncode == 0)
    assert stored(shop, "regulars") == REGULARS


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


# The last one here, since it ends the installation that the others share.
def test_ctrl_c_ends_all_of_it_within_seconds_and_the_next_start_remembers_definitions(shop: Up) -> None:
    tree = shop.tree()
    assert len(tree) >= 1 + 3 + len(WIRINGS)
    shop.process.send_signal(signal.SIGINT)
    assert shop.process.wait(END_S_MAX) == 0
    assert not alive(tree)
    second = start(shop.folder)
    try:
        eventually(lambda: len(second.answer("status")["cohorts"]) == 23)
        assert stored(second, "regulars") == REGULARS
    finally:
        tree = second.tree()
        second.process.kill()
        second.process.wait(END_S_MAX)
    # Killed outright it leaves no orphan either: the kernel ends its children, and theirs.
    eventually(lambda: not alive(tree))
