"""Packaging of twisted_store; the tools are configured in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

PACKAGE = Path(__file__).parent / "twisted_store" / "__init__.py"

setup(
    name="twisted-store",
    version=re.findall(r'^__version__ = "(.+)"$', PACKAGE.read_text(), re.MULTILINE)[0],
    description="A file store that starts with one command and grows by starting more nodes",
    license="MIT",
    python_requires=">=3.11",
    # An explicit root makes an editable install a plain path entry; the import hook that setuptools
    # uses otherwise hides twisted/plugins from Twisted, which looks for that folder along sys.path.
    package_dir={"": "."},
    packages=[*find_packages(include=["twisted_store", "twisted_store.*"]), "twisted.plugins"],
    entry_points={"console_scripts": ["twisted-store = twisted_store.cli.main:main"]},
    install_requires=[
        "blake3~=1.0",
        "click~=8.5",
        "crc32c>=2.9,<3",
        "httpx~=0.28.1",
        "klein~=24.8",
        "multipart~=2.0",
        "prometheus-client~=0.26",
        # For ISA-L, which its wheels bring; elsewhere the system's is used, or tables.
        "pyeclib~=1.8; sys_platform == 'linux' and platform_machine in 'x86_64 aarch64'",
        "treq~=26.7",
        "twisted~=26.10",
    ],
    extras_require={
        "test": [
            "apsw~=3.54",
            "honcho~=2.0",
            "hypothesis~=6.170",
            "mypy-zope~=1.0.17",
            "mypy~=2.4.1",
            "pytest-randomly~=5.1",
            "pytest-xdist~=3.8",
            "pytest-twisted~=1.14",
            "pytest~=9.2",
            "ruff~=0.17.6",
            "setuptools>=77",
        ],
    },
)
