"""Files are written whole or not at all."""

import re

import pytest

from optcore.files import replacing


def test_a_file_takes_its_place_when_it_is_whole(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(path) as beside:
        beside.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_where_writing_fails_the_old_file_stays_and_nothing_is_left_behind(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write_half():
        with replacing(path) as beside:
            beside.write_text("ha")
            raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError, match="the disk is full"):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_missing_is_named(tmp_path):
    message = f"there is no folder '{tmp_path / 'no'}' to write 'a.txt' into; make it first"
    with pytest.raises(FileNotFoundError, match=re.escape(message)), replacing(tmp_path / "no" / "a.txt"):
        pass


def test_a_folder_that_may_not_be_written_is_no_matter_of_a_temporary_name(tmp_path):
    path = tmp_path / "a.txt"

    def write():
        with replacing(path) as beside:
            raise PermissionError(13, "Permission denied", str(beside))

    with pytest.raises(PermissionError, match=re.escape(f"Permission denied: '{path}'")):
        write()
