"""How every command ends: its exit code, and one line on stderr."""

import pytest

from bcdh_lib.core.errors import StudyError, exit_code, one_line


@pytest.mark.parametrize(
    ("outcome", "code", "line"),
    [
        (None, 0, ""),
        (3, 3, ""),
        (StudyError("params.yaml: wrong"), 1, "params.yaml: wrong\n"),
        (KeyboardInterrupt(), 130, "stopped\n"),
    ],
)
def test_codes_and_lines(outcome, code, line, capsys):
    def command():
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    assert exit_code(command, "stopped") == code
    assert capsys.readouterr().err == line


def test_other_errors_pass_unless_named():
    with pytest.raises(ZeroDivisionError):
        exit_code(lambda: 1 // 0, "stopped")
    assert exit_code(lambda: 1 // 0, "stopped", (StudyError, ZeroDivisionError)) == 1


def test_text_becomes_part_of_a_line():
    assert one_line("a\n b\x00\x1b[31m", 6) == "a b\\x00\\x1b["
