"""The start-up file of dsp_fairseq's environment (see `dsp_fairseq_startup`); everything else is in pyproject.toml.

Python reads `dsp_fairseq_startup.pth` in site-packages at every start. setuptools has no word for such a file, so each
command that puts the package somewhere puts the file there too.
"""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.editable_wheel import editable_wheel

PTH_NAME = "dsp_fairseq_startup.pth"
# Python prints a traceback at every start for a line that fails: a checkout that was moved must not make it talk
PTH_LINE = 'import sys; exec("try:\\n import dsp_fairseq_startup\\nexcept ModuleNotFoundError:\\n pass")\n'


class BuildPyWithPth(build_py):
    """`pip install .`: the file goes into the wheel, beside the packages."""

    def run(self):
        super().run()
        if not self._is_editable():
            Path(self.build_lib, PTH_NAME).write_text(PTH_LINE)

    def get_outputs(self, include_bytecode=1):
        outputs = super().get_outputs(include_bytecode)
        return outputs if self._is_editable() else [*outputs, str(Path(self.build_lib, PTH_NAME))]

    def _is_editable(self):
        return getattr(self, "editable_mode", False)


class EditableWheelWithPth(editable_wheel):
    """`pip install -e .`: the file goes into the small wheel that stands for the checkout.

    setuptools' own `__editable__*.pth`, which makes the checkout importable, sorts before ours: Python reads it first.
    """

    def _run_build_commands(self, dist_name, unpacked_wheel, build_lib, tmp_dir):
        outputs = super()._run_build_commands(dist_name, unpacked_wheel, build_lib, tmp_dir)
        Path(unpacked_wheel, PTH_NAME).write_text(PTH_LINE)
        return outputs


setup(cmdclass={"build_py": BuildPyWithPth, "editable_wheel": EditableWheelWithPth})
