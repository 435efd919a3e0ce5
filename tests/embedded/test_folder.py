"""A data folder belongs to one process tree at a time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from processors.embedded.errors import FolderInUse
from processors.embedded.folder import FolderLock


def test_a_second_holder_is_told_who_has_the_folder(tmp_path: Path) -> None:
    with (
        FolderLock(tmp_path),
        pytest.raises(FolderInUse, match=rf"{tmp_path} is in use by process {os.getpid()}: stop"),
    ):
        FolderLock(tmp_path).acquire()


def test_a_released_folder_can_be_taken_again(tmp_path: Path) -> None:
    with FolderLock(tmp_path):
        pass
    with FolderLock(tmp_path) as lock:
        assert lock.fileno() > 0


def test_a_folder_is_free_again_when_its_holder_was_killed(tmp_path: Path) -> None:
    hold = "import sys, time; from pathlib import Path; from processors.embedded.folder import FolderLock\n"
    hold += "lock = FolderLock(Path(sys.argv[1])); lock.acquire(); print('held', flush=True); time.sleep(600)"
    holder = subprocess.Popen([sys.executable, "-c", hold, str(tmp_path)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(FolderInUse, match=f"process {holder.pid}"):
        FolderLock(tmp_path).acquire()
    holder.kill()
    holder.wait()
    holder.stdout.close()
    with FolderLock(tmp_path):
        pass


def test_a_folder_that_does_not_exist_is_created(tmp_path: Path) -> None:
    with FolderLock(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b").is_dir()
