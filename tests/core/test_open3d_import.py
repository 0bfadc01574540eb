"""open3d loads on a bare machine; if a library is missing, one line says which package to install."""

import os

import pytest

from bcdh_lib.core.open3d_import import Open3dError, import_open3d


def test_the_module_casts_rays_without_its_web_visualizer():
    open3d = import_open3d()
    assert hasattr(open3d.t.geometry, "RaycastingScene")
    assert os.environ["OPEN3D_DISABLE_WEB_VISUALIZER"] == "true"


def test_a_second_import_is_the_same_module():
    assert import_open3d() is import_open3d()


@pytest.mark.parametrize(
    "failing", ["bcdh_lib.core.open3d_import.ctypes.CDLL", "bcdh_lib.core.open3d_import.importlib.import_module"]
)
def test_a_missing_library_is_one_line_that_names_the_package(monkeypatch, failing):
    def fail(*args, **kwargs):
        raise OSError("libEGL.so.1: cannot open shared object file:\nNo such file or directory")

    monkeypatch.setattr(failing, fail)
    with pytest.raises(Open3dError, match=r"libEGL\.so\.1.*apt-get install libegl1 libgl1") as caught:
        import_open3d()
    assert "\n" not in str(caught.value)
