"""How every command ends: its exit code, and one line on stderr."""

import pytest

from bcdh_lib.core.errors import StudyError, exit_code


def raises(error):
    def command():
        raise error

    return command


@pytest.mark.parametrize(
    ("command", "code", "line"),
    [
        (lambda: None, 0, ""),
        (lambda: 3, 3, ""),
        (raises(StudyError("params.yaml: wrong")), 1, "params.yaml: wrong\n"),
        (raises(KeyboardInterrupt), 130, "stopped\n"),
    ],
)
def test_codes_and_lines(command, code, line, capsys):
    assert exit_code(command, "stopped") == code
    assert capsys.readouterr().err == line


def test_other_errors_pass_unless_named(capsys):
    with pytest.raises(OSError, match="disk"):
        exit_code(raises(OSError("disk")), "stopped")
    assert exit_code(raises(OSError("disk")), "stopped", (StudyError, OSError)) == 1
    assert capsys.readouterr().err == "disk\n"
