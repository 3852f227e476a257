"""Packaging of dsp_fairseq, and of the start-up hook that makes fairseq 0.12.2 work (see `dsp_fairseq_startup`).

The hook needs one file of its own in site-packages: `dsp_fairseq_startup.pth`, which Python reads at every
start. setuptools has no word for that, so each command that puts the package somewhere puts the file there too.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py
from setuptools.command.develop import develop

try:
    from setuptools.command.editable_wheel import editable_wheel
except ImportError:  # setuptools < 64 has no `pip install -e` of its own, only `develop`
    editable_wheel = object

ROOT = Path(__file__).resolve().parent
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


class DevelopWithPth(develop):
    """`python setup.py develop` of setuptools < 80 (later ones call `pip install -e .`).

    Its `easy-install.pth` sorts after our file, so ours has to name the checkout itself.
    """

    def install_for_development(self):
        super().install_for_development()
        Path(self.install_dir, PTH_NAME).write_text(f"{ROOT}\n{PTH_LINE}")

    def uninstall_link(self):
        super().uninstall_link()
        Path(self.install_dir, PTH_NAME).unlink(missing_ok=True)


def version():
    """Read, not imported: importing dsp_fairseq needs fairseq."""
    text = (ROOT / "dsp_fairseq" / "__init__.py").read_text(encoding="utf-8")
    return re.search(r'^__version__ = "(.+?)"', text, re.MULTILINE).group(1)


def long_description():
    readme = ROOT / "README.md"
    return readme.read_text(encoding="utf-8") if readme.exists() else ""


commands = {"build_py": BuildPyWithPth, "develop": DevelopWithPth}
if editable_wheel is not object:
    commands["editable_wheel"] = EditableWheelWithPth

setup(
    name="dsp-fairseq",
    version=version(),
    description="Differentiable subset pruning of attention heads for fairseq: train, prune and decode",
    long_description=long_description(),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11",
    # naming the root keeps `pip install -e .` to one path in a .pth file, instead of an import hook of setuptools
    package_dir={"": "."},
    packages=find_packages(include=["dsp_fairseq", "dsp_fairseq.*", "dsp_fairseq_startup"]),
    entry_points={"console_scripts": ["dsp-fairseq = dsp_fairseq.cli:main"]},
    install_requires=[
        "fairseq==0.12.2",  # the version the hook mends; the archived project's last one
        "torch>=2.6",  # before, even a restricted load could run code from a checkpoint (CVE-2025-32434)
        "numpy",
        "num2words",
        "pyyaml>=5.1",
        "sacrebleu",
        "sacremoses",
        "sentencepiece",
        "subword-nmt",
        "tabulate",
        "tqdm",
    ],
    extras_require={
        "test": ["pytest", "pytest-xdist", "hypothesis"],
        "plot": ["matplotlib"],
        "ctranslate2": ["ctranslate2"],
        "tensorboard": ["tensorboard"],  # fairseq's --tensorboard-logdir writes with it, report --history reads with it
    },
    cmdclass=commands,
)
