"""Builds the one extension, fastsm._core, and installs the `fastsm` command.

FASTSM_SANITIZE=1 builds it under AddressSanitizer and UBSan.
"""

import os
from glob import glob

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# -g0 and hidden symbols keep the wheel small; the sanitizer build wants both back.
RELEASE = ["-O3", "-g0", "-fvisibility=hidden"]
SANITIZE = ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined"]
sanitize = bool(os.environ.get("FASTSM_SANITIZE"))
if sanitize:
    LINK = ["-fsanitize=address,undefined"]
else:
    LINK = ["-Wl,-s"] if os.uname().sysname == "Linux" else []


class BuildCore(build_ext):
    """Runs Cython only when an extension is really built, so metadata and sdist need none."""

    def finalize_options(self) -> None:
        if self.distribution.ext_modules and any(
            source.endswith(".pyx")
            for e in self.distribution.ext_modules
            for source in e.sources
        ):
            from Cython.Build import cythonize

            self.distribution.ext_modules = cythonize(
                self.distribution.ext_modules,
                compiler_directives={
                    "language_level": 3,
                    "boundscheck": False,
                    "wraparound": False,
                    "embedsignature": False,
                    "auto_pickle": False,
                    "emit_code_comments": False,
                },
            )
        super().finalize_options()


setup(
    ext_modules=[
        Extension(
            "fastsm._core",
            sources=["fastsm/_core.pyx", *sorted(glob("csrc/*.c"))],
            depends=sorted(glob("csrc/*.h")),
            include_dirs=["csrc"],
            extra_compile_args=["-std=c11", "-pthread", *(SANITIZE if sanitize else RELEASE)],
            extra_link_args=["-pthread", *LINK],
        )
    ],
    cmdclass={"build_ext": BuildCore},
    # A plain script starts in 1.1x of a bare interpreter; a console_scripts
    # launcher imports re first.
    scripts=["bin/fastsm"],
)
